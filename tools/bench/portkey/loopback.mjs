// Makes every server of the process listen on loopback only. The Portkey gateway listens on all addresses otherwise.
import { Server } from "node:net";

const listen = Server.prototype.listen;

Server.prototype.listen = function listenOnLoopback(port, _host, ...rest) {
  return listen.call(this, port, "127.0.0.1", ...rest);
};

#!/usr/bin/env bash
# One comment at the start of a stream makes go-openai lose the provider's error at its end.
#
# Versions: github.com/sashabaranov/go-openai v1.43.0.
# Expected: comments and `id:` lines are ignored. An error frame after them reads the same as without them.
# Seen:     every line that does not start with `data:` is stored for the whole life of the stream. An error frame is
#           appended to that store, and the store is parsed as JSON. After a single comment this never parses: the
#           caller gets "unexpected end of JSON input" in place of the provider's message. If the error frame is the
#           last line, without a blank line after it, the caller gets a clean io.EOF: half an answer as a whole one.
#           An error object whose first key is not "error" is taken for an empty chunk, and the stream ends clean.
# Matters:  A gateway that sends keep-alive comments, or passes on `id:` lines, disables the error reports of this
#           client. The only frame that survives is a data line whose first key is "error", in a stream without
#           comments before it.
# Source:   go-openai: `processLines`, `unmarshalError` and `errorPrefix` in `stream_reader.go`.
set -euo pipefail

folder=$(mktemp -d)
# Files of the module cache are read-only.
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
export GOPATH="$folder/go" GOFLAGS=-mod=mod

go mod init finding 2>/dev/null
go get github.com/sashabaranov/go-openai@v1.43.0 2>/dev/null

cat > main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	openai "github.com/sashabaranov/go-openai"
)

const (
	chunk     = `data: {"choices":[{"index":0,"delta":{"content":"half"}}]}` + "\n\n"
	errorLine = `data: {"error":{"message":"overloaded","type":"server_error"}}` + "\n"
	typeFirst = `data: {"type":"error","error":{"message":"overloaded"}}` + "\n"
	message   = "error, overloaded"
	jsonError = "unexpected end of JSON input"
	cleanEnd  = "clean end"
)

// read returns how the stream of this body ends for the caller.
func read(body string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, body)
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	config := openai.DefaultConfig("unused")
	config.BaseURL = server.URL + "/v1"
	stream, err := openai.NewClientWithConfig(config).CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{
		Model:    "m",
		Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "hello"}},
	})
	if err != nil {
		return err.Error()
	}
	defer stream.Close()
	for {
		if _, err = stream.Recv(); errors.Is(err, io.EOF) {
			return cleanEnd
		} else if err != nil {
			return err.Error()
		}
	}
}

func main() {
	fmt.Println("version: go-openai v1.43.0")
	unchanged := true
	for _, c := range []struct{ name, body, stated string }{
		{"error frame", chunk + errorLine + "\n", message},
		{"comment, chunk, error frame", ": keep-alive\n" + chunk + errorLine + "\n", jsonError},
		{"chunk with an id, error frame", "id: 1\n" + chunk + errorLine + "\n", jsonError},
		{"comment, chunk, error frame as the last line", ": keep-alive\n" + chunk + errorLine, cleanEnd},
		{"error frame as the last line", chunk + errorLine, message},
		{"error frame with another first key", chunk + typeFirst + "\n", cleanEnd},
	} {
		seen := read(c.body)
		fmt.Printf("%s\n  expected: %s\n  seen:     %s\n", c.name, message, seen)
		unchanged = unchanged && seen == c.stated
	}
	if !unchanged {
		fmt.Println("The behaviour changed.")
		os.Exit(1)
	}
	fmt.Println("The finding holds.")
}
GO
go build -o finding .
timeout 60 ./finding

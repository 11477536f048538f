"""The server that `make bench BENCH=cold` compares with: FastAPI, with the clients that the gateway needs."""

import boto3
import httpx
from fastapi import FastAPI

app = FastAPI()
client = httpx.AsyncClient()
table = boto3.resource("dynamodb").Table("providers")
kms = boto3.client("kms")

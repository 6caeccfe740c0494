"""Requests and answers of a peer's process: one line of JSON each."""

import json
import os
import sys

# What libraries print must not end up among the answers.
OUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer_requests(requests, hello):
    tell(hello)
    for line in sys.stdin:
        request = json.loads(line)
        tell(requests[request.pop("do")](**request))


def tell(answer):
    OUT.write(json.dumps(answer) + "\n")
    OUT.flush()

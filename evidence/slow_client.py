#!/usr/bin/env python3
"""slow_client.py URL [SECONDS] [ROUNDS]: what a client that reads nothing costs the others.

Eight clients stream answers from a running server, one request after another, and count what they get in SECONDS (30). Beside
them a ninth streams too: in one half of each round it reads like the others, in the other half it sends its request and
reads nothing. Prints tokens per second of the eight in both halves, round by round, and the ratio. The server must have room
for nine sequences (--max-num-seqs 16). Standard library only.
"""
import json
import socket
import statistics
import sys
import threading
import time
import urllib.parse


def request(host, port):
    body = json.dumps({"prompt": "Count from one to a thousand in words:", "max_tokens": 4000, "stream": True, "ignore_eos": True,
                       "kv_policy": {"name": "lethe", "cap": 256, "trigger": "cap", "interval": 64}}).encode()
    s = socket.create_connection((host, port))
    s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
              b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return s


class Reader(threading.Thread):
    """Streams until told to stop, and counts chunks: one a token."""

    def __init__(self, host, port):
        super().__init__(daemon=True)
        self.at, self.tokens, self.going = (host, port), 0, True

    def run(self):
        while self.going:
            with request(*self.at) as s:
                while self.going and (data := s.recv(1 << 16)):
                    self.tokens += data.count(b"data: {")


def half(host, port, seconds, reads):
    readers = [Reader(host, port) for _ in range(8)]
    for r in readers:
        r.start()
    ninth = Reader(host, port) if reads else request(host, port)
    if reads:
        ninth.start()
    time.sleep(3)  # prompts are read
    before, start = sum(r.tokens for r in readers), time.monotonic()
    time.sleep(seconds)
    rate = (sum(r.tokens for r in readers) - before) / (time.monotonic() - start)
    for r in readers + ([ninth] if reads else []):
        r.going = False
    for r in readers:
        r.join()
    if reads:
        ninth.join()
    else:
        ninth.close()
    time.sleep(1)
    return rate


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    url = urllib.parse.urlparse(sys.argv[1])
    seconds, rounds = (int(x) for x in (sys.argv[2:] + ["30", "3"][len(sys.argv) - 2:]))
    ratios = []
    for i in range(rounds):
        order = [True, False] if i % 2 == 0 else [False, True]
        rates = {reads: half(url.hostname, url.port, seconds, reads) for reads in order}
        ratios.append(rates[False] / rates[True])
        print(f"round {i + 1}: the ninth reads {rates[True]:.1f}, reads nothing {rates[False]:.1f} tokens/s, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")


main()

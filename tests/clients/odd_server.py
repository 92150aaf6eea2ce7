"""A venue that is not ours: replays captures over the `websockets` package, in fragments, with pings between them, in
TCP segments of odd sizes.

usage: odd_server.py STREAM_PORT REST_PORT SEED SYMBOL=CAPTURE...

Serves what an engine needs to start: a clock, the instruments' rules, an empty account, and the captures' own
snapshots once the stream has come to them. Prints `done FRAMES` at the end.
"""

import asyncio
import gzip
import heapq
import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

from websockets.asyncio.server import serve

STREAM_PORT, REST_PORT, SEED = (int(argument) for argument in sys.argv[1:4])
CAPTURES = dict(argument.split("=", 1) for argument in sys.argv[4:])

# Set with a snapshot's text once the stream has come to it.
passed = {symbol: threading.Event() for symbol in CAPTURES}
snapshots = {}


def lines_of(symbol):
    """Receive time, symbol and text of every line of a capture."""
    with gzip.open(CAPTURES[symbol], "rt") as file:
        for line in file:
            moment, text = line.rstrip("\n").split(" ", 1)
            yield int(moment), symbol, text


def frames():
    """Frames of all captures in the order they were received."""
    for _, symbol, text in heapq.merge(*map(lines_of, CAPTURES), key=lambda line: line[0]):
        if text.startswith('{"stream"'):
            yield text
        else:
            snapshots[symbol] = text
            passed[symbol].set()


def exchange_info():
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "5"},
    ]
    common = {"status": "TRADING", "pricePrecision": 2, "quantityPrecision": 3, "filters": filters}
    return {"symbols": [{"symbol": symbol, **common} for symbol in CAPTURES], "rateLimits": []}


class Rest(BaseHTTPRequestHandler):
    def answer(self):
        url = urlparse(self.path)
        path = url.path
        if path == "/fapi/v1/depth":
            symbol = parse_qs(url.query)["symbol"][0]
            passed[symbol].wait(30)
            body = snapshots[symbol]
        else:
            answers = {
                "/fapi/v1/time": {"serverTime": int(time.time() * 1000)},
                "/fapi/v1/exchangeInfo": exchange_info(),
                "/fapi/v1/listenKey": {"listenKey": "odd"},
                "/fapi/v1/positionSide/dual": {"dualSidePosition": False},
                "/fapi/v1/symbolConfig": [],
                "/fapi/v1/countdownCancelAll": {},
            }
            body = json.dumps(answers.get(path, []))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


class Stream:
    """Sends the captures to the first client of the book streams."""

    def __init__(self):
        self.random, self.is_taken = random.Random(SEED), False

    async def pieces(self, socket, text):
        """A message in fragments, a ping now and then between them."""
        at = 0
        while at < len(text):
            size = self.random.choice((1, 2, 3, 7, 64, 125, 126, 127, 1000, 65_535))
            yield text[at : at + size]
            at += size
            if self.random.random() < 0.05:
                await socket.ping()

    async def replay(self, socket):
        count = 0
        for text in frames():
            count += 1
            draw = self.random.random()
            if draw < 0.05:
                await socket.send(self.pieces(socket, text))
            else:
                await socket.send(text)
            if draw > 0.99:
                await socket.ping(self.random.randbytes(self.random.randrange(8, 126)))
        print(f"done {count}", flush=True)

    async def serve(self, socket):
        if socket.request.path.startswith("/public") and not self.is_taken:
            self.is_taken = True
            await self.replay(socket)
        async for message in socket:
            request = json.loads(message)
            await socket.send(json.dumps({"id": request["id"], "status": 200, "result": {}}))


async def pump(reader, writer, chop):
    """Carries bytes; `chop` gives the sizes they are carried in."""
    try:
        while data := await reader.read(65_536):
            at = 0
            while at < len(data):
                size = chop()
                writer.write(data[at : at + size])
                at += size
                await writer.drain()
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def main():
    stream, chances = Stream(), random.Random(SEED + 1)
    # Compression is not offered by the engine; keepalive pings come besides ours.
    server = await serve(stream.serve, "127.0.0.1", 0, max_size=None, ping_interval=1, write_limit=1 << 20)
    inner = server.sockets[0].getsockname()[1]

    def odd():
        return chances.choice((1, 2, 3, 5, 130, 1447, 1448, 4096, 9000, 65_536, 65_536, 65_536))

    async def carry(reader, writer):
        upstream, downstream = await asyncio.open_connection("127.0.0.1", inner)
        await asyncio.gather(pump(upstream, writer, odd), pump(reader, downstream, lambda: 65_536))

    proxy = await asyncio.start_server(carry, "127.0.0.1", STREAM_PORT)
    rest = ThreadingHTTPServer(("127.0.0.1", REST_PORT), Rest)
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    print("ready", flush=True)
    async with server, proxy:
        await asyncio.Future()


asyncio.run(main())

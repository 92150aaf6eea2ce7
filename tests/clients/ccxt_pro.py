"""ccxt trades on a simulator, over REST, streams and the WebSocket API, with HMAC and Ed25519 keys.

usage: ccxt_pro.py PORT HMAC_KEY HMAC_SECRET ED25519_KEY ED25519_PEM_FILE
"""

import asyncio
import re
import sys
import time
from decimal import ROUND_CEILING, ROUND_FLOOR
from decimal import Decimal as D
from pathlib import Path

import ccxt
import ccxt.pro
from common import Fail, check, on_grid, run, step, until

SYMBOL = "BTC/USDT:USDT"
PORT, KEY, SECRET, ED_KEY, ED_PEM = sys.argv[1:6]
HTTP, WS = f"http://127.0.0.1:{PORT}", f"ws://127.0.0.1:{PORT}"


def relocated(urls):
    """Addresses with another host and the same path."""
    if isinstance(urls, dict):
        return {name: relocated(url) for name, url in urls.items()}
    if isinstance(urls, str):
        return re.sub(r"^wss?://[^/]+", WS, re.sub(r"^https?://[^/]+", HTTP, urls))
    return urls


def exchange(kind, key, secret):
    options = {
        # Both ask hosts of the spot venue otherwise.
        "fetchCurrencies": False,
        "fetchMargins": False,
        "fetchMarkets": {"types": ["linear"]},
        "warnOnFetchOpenOrdersWithoutSymbol": False,
    }
    made = kind({"apiKey": key, "secret": secret, "timeout": 10000, "options": options})
    made.urls["api"] = relocated(made.urls["api"])
    # The table of error codes is chosen by the venue's host name.
    made.exceptions["exact"] = {**made.exceptions["linear"]["exact"], **made.exceptions["exact"]}
    return made


def plain_rest():
    venue = exchange(ccxt.binanceusdm, KEY, SECRET)
    markets = venue.load_markets()
    check(markets[SYMBOL]["active"] and markets[SYMBOL]["linear"], f"{markets[SYMBOL]}")
    check(abs(venue.fetch_time() - time.time() * 1000) < 5000, "server time")
    check(venue.fetch_balance()["USDT"]["total"] > 0, "balance")
    book = venue.fetch_order_book(SYMBOL, 5)
    check(book["bids"][0][0] < book["asks"][0][0], f"{book}")
    step(f"{len(markets)} markets, book {book['bids'][0][0]} / {book['asks'][0][0]}")


class Desk:
    """One connected client, its watchers and the sizes of its orders."""

    def __init__(self, venue):
        self.venue, self.tasks = venue, []

    async def watch(self):
        async def orders():
            while True:
                await self.venue.watch_orders(SYMBOL)

        async def trades():
            while True:
                await self.venue.watch_my_trades(SYMBOL)

        self.tasks = [asyncio.ensure_future(orders()), asyncio.ensure_future(trades())]
        is_private = lambda: any(  # noqa: E731
            "/private/" in url and client.isConnected for url, client in self.venue.clients.items()
        )
        await until(is_private, "the account stream", self.tasks)

    async def stop(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def book(self):
        nonce, book = 0, None
        for _ in range(4):
            book = await asyncio.wait_for(self.venue.watch_order_book(SYMBOL), 12)
            check(book["bids"][0][0] < book["asks"][0][0] and book["nonce"] >= nonce, f"{book}")
            nonce = book["nonce"]
        return book

    def plan(self, market, bid):
        filters = {f["filterType"]: f for f in market["info"]["filters"]}
        tick, lot = market["precision"]["price"], market["precision"]["amount"]
        floor = D(filters["PERCENT_PRICE"]["multiplierDown"]) + D("0.01")
        self.price = on_grid(D(str(bid)) * floor, tick, ROUND_FLOOR)
        self.next_price = self.price - 10 * D(str(tick))
        notional = D(str(market["limits"]["cost"]["min"])) * D("1.2")
        self.qty = on_grid(notional / self.next_price, lot, ROUND_CEILING)
        self.next_qty = self.qty + D(str(lot))

    def told(self, order_id):
        cached = self.venue.orders
        return (cached.hashmap.get(SYMBOL, {}).get(order_id) if cached is not None else None) or {}

    async def life_of_an_order(self, tag, create, fetch, edit, cancel):
        placed = await create(SYMBOL, "limit", "buy", float(self.qty), float(self.price))
        order_id = placed["id"]
        check(placed["status"] == "open" and D(str(placed["price"])) == self.price, f"{tag} {placed}")
        await until(lambda: self.told(order_id).get("status") == "open", f"{tag}: NEW told", self.tasks)
        check((await fetch(order_id, SYMBOL))["status"] == "open", f"{tag} fetch")
        opened = await self.venue.fetch_open_orders(SYMBOL)
        check(any(o["id"] == order_id for o in opened), f"{tag}: not among the open orders")
        await edit(order_id, SYMBOL, "limit", "buy", float(self.next_qty), float(self.next_price))
        is_amended = lambda: D(str(self.told(order_id)["price"])) == self.next_price  # noqa: E731
        await until(is_amended, f"{tag}: AMENDMENT told", self.tasks)
        check(D(str((await fetch(order_id, SYMBOL))["amount"])) == self.next_qty, f"{tag} fetch after the edit")
        check((await cancel(order_id, SYMBOL))["status"] == "canceled", f"{tag} cancel")
        await until(lambda: self.told(order_id)["status"] == "canceled", f"{tag}: CANCELED told", self.tasks)
        step(f"{tag}: created, fetched, edited, canceled order {order_id}")
        return order_id

    async def position(self):
        rows = await self.venue.fetch_positions([SYMBOL])
        return sum((D(str(r["contracts"])) * (1 if r["side"] == "long" else -1) for r in rows), D(0))

    async def money(self):
        """Wallet without a position, and everything that is listed to have moved it."""
        total = (await self.venue.fetch_balance())["USDT"]["total"]
        rows = await self.venue.fetch_ledger("USDT", None, 1000)
        return D(str(total)), sum((D(str(row["info"]["income"])) for row in rows), D(0)), rows

    async def trade(self, tag):
        before = await self.position()
        wallet, moved, _ = await self.money()
        bought = await self.venue.create_order(SYMBOL, "market", "buy", float(self.qty))
        check(bought["status"] == "closed" and D(str(bought["filled"])) == self.qty, f"{tag} {bought}")
        average = (await self.venue.fetch_order(bought["id"], SYMBOL))["average"]
        check(average > 0, f"{tag}: average {average}")
        mine = lambda: [t for t in (self.venue.myTrades or []) if t["order"] == bought["id"]]  # noqa: E731
        await until(mine, f"{tag}: trades told", self.tasks)
        listed = [t for t in await self.venue.fetch_my_trades(SYMBOL, limit=1000) if t["order"] == bought["id"]]
        check(sum(D(str(t["amount"])) for t in listed) == self.qty, f"{tag}: trades {listed}")
        check({t["id"] for t in listed} == {t["id"] for t in mine()}, "trade ids of list and stream differ")
        check(await self.position() == before + self.qty, f"{tag}: position")
        await self.venue.set_leverage(7, SYMBOL)
        leverage = (await self.venue.fetch_positions([SYMBOL], {"useV2": True}))[0]["leverage"]
        check(int(leverage) == 7, f"{tag}: leverage {leverage}")
        await self.venue.set_leverage(20, SYMBOL)
        sold = await self.venue.create_order(SYMBOL, "market", "sell", float(self.qty), None, {"reduceOnly": True})
        check(sold["status"] == "closed" and await self.position() == before, f"{tag}: closed {sold}")
        wallet_now, moved_now, rows = await self.money()
        check(wallet_now - wallet == moved_now - moved != 0, f"{tag}: {wallet_now - wallet} {rows}")
        check({"REALIZED_PNL", "COMMISSION", "FUNDING_FEE"} >= {row["info"]["incomeType"] for row in rows}, f"{tag}: {rows}")
        step(f"{tag}: {len(listed)} fills at {average}, position opened and closed, income as the wallet has it")


async def check_with(tag, key, secret):
    venue = exchange(ccxt.pro.binanceusdm, key, secret)
    desk = Desk(venue)
    try:
        market = (await venue.load_markets())[SYMBOL]
        await desk.watch()
        desk.plan(market, (await desk.book())["bids"][0][0])
        order_id = await desk.life_of_an_order(
            f"{tag} REST", venue.create_order, venue.fetch_order, venue.edit_order, venue.cancel_order
        )
        try:
            await venue.cancel_order(order_id, SYMBOL)
            raise Fail("a second cancel was accepted")
        except ccxt.OrderNotFound:
            pass
        await desk.life_of_an_order(
            f"{tag} WebSocket", venue.create_order_ws, venue.fetch_order_ws, venue.edit_order_ws,
            venue.cancel_order_ws,
        )
        balance = await venue.fetch_balance_ws({"method": "v2/account.balance"})
        check(balance["USDT"]["total"] > 0, f"{balance}")
        await desk.trade(tag)
    finally:
        await desk.stop()
        await venue.close()


async def main():
    await asyncio.to_thread(plain_rest)
    await check_with("HMAC", KEY, SECRET)
    # The text of a key takes the place of a secret.
    await check_with("Ed25519", ED_KEY, Path(ED_PEM).read_text().strip())


run(main())

"""The venue's own SDK trades on a simulator: REST, streams, WebSocket API, HMAC and Ed25519.

usage: sdk.py PORT HMAC_KEY HMAC_SECRET ED25519_KEY ED25519_PEM_FILE
"""

import asyncio
import logging
import sys
import time
import uuid
import warnings
from collections import defaultdict
from decimal import ROUND_CEILING, ROUND_FLOOR
from decimal import Decimal as D

from common import check, on_grid, run, step, until

warnings.simplefilter("ignore", DeprecationWarning)

from binance_common.configuration import (  # noqa: E402
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError  # noqa: E402
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (  # noqa: E402
    DerivativesTradingUsdsFutures,
)
from pydantic import BaseModel  # noqa: E402

SYMBOL = "BTCUSDT"
PORT, KEY, SECRET, ED_KEY, ED_PEM = sys.argv[1:6]
HTTP, WS = f"http://127.0.0.1:{PORT}", f"ws://127.0.0.1:{PORT}"

# The SDK logs what it cannot parse and carries on; here that is a failure.
COMPLAINTS, EXPECTED = [], ["Connection with user closed"]


class Collector(logging.Handler):
    def emit(self, record):
        text = record.getMessage()
        if record.levelno >= logging.WARNING and not any(e in text for e in EXPECTED):
            COMPLAINTS.append(f"{record.levelname}: {text}")


logging.getLogger().handlers[:] = [Collector()]


def parsed(response, what):
    """Data of an answer, which the SDK must have made into its model."""
    data = response.data()
    check(not (isinstance(data, dict) and "error" in data), f"{what}: {data}")
    rows = data if isinstance(data, list) else [data]
    check(all(isinstance(row, BaseModel) for row in rows), f"{what}: not a model: {data!r}")
    return data


async def rest(function, *args, **kwargs):
    response = await asyncio.to_thread(function, *args, **kwargs)
    limits = [limit.rateLimitType for limit in response.rate_limits]
    check("REQUEST_WEIGHT" in limits, f"{function.__name__}: no used weight in the headers")
    return parsed(response, function.__name__)


class Book:
    """The local book as the venue documents it."""

    def __init__(self):
        self.early, self.bids, self.asks, self.last, self.applied = [], {}, {}, None, 0

    def on_event(self, event):
        if self.last is None:
            self.early.append(event)
        elif self.applied or event.u >= self.last:
            self.apply(event)

    def apply(self, event):
        follows = event.pu == self.last if self.applied else event.U <= self.last <= event.u
        check(follows, f"gap: U={event.U} u={event.u} pu={event.pu} after {self.last}")
        for side, levels in ((self.bids, event.b), (self.asks, event.a)):
            for price, qty in levels:
                if D(qty) == 0:
                    side.pop(D(price), None)
                else:
                    side[D(price)] = D(qty)
        self.last, self.applied = event.u, self.applied + 1
        check(max(self.bids) < min(self.asks), "crossed book")

    def on_snapshot(self, snapshot):
        self.bids = {D(price): D(qty) for price, qty in snapshot.bids}
        self.asks = {D(price): D(qty) for price, qty in snapshot.asks}
        self.last, early, self.early = snapshot.last_update_id, self.early, []
        for event in early:
            self.on_event(event)


class Orders:
    """What the account stream told."""

    def __init__(self):
        self.events, self.by_id = [], defaultdict(list)

    def on_event(self, wrapped):
        event = wrapped.actual_instance
        self.events.append(event)
        if type(event).__name__ == "OrderTradeUpdate":
            self.by_id[event.o.i].append(event.o)

    def kinds(self, order_id):
        return [o.x for o in self.by_id[order_id]]

    def named(self, name):
        return [e for e in self.events if type(e).__name__ == name]


def client_of(key, **secret):
    return DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(api_key=key, base_path=HTTP, timeout=5000, retries=0, **secret),
        config_ws_api=ConfigurationWebSocketAPI(api_key=key, stream_url=f"{WS}/ws-fapi/v1", **secret),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=WS),
    )


class Plan:
    """Prices and quantities of the orders: far below the market, within the filters."""

    def __init__(self, filters, bid):
        self.tick, lot = D(filters["PRICE_FILTER"].tick_size), D(filters["LOT_SIZE"].step_size)
        floor = D(filters["PERCENT_PRICE"].multiplier_down) + D("0.01")
        self.price = on_grid(bid * floor, self.tick, ROUND_FLOOR)
        self.next_price = self.price - 10 * self.tick
        notional = D(filters["MIN_NOTIONAL"].notional) * D("1.2")
        self.qty = on_grid(notional / self.next_price, lot, ROUND_CEILING)
        self.next_qty = self.qty + lot

    def order(self, client_order_id):
        return dict(
            symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="GTC", quantity=float(self.qty),
            price=float(self.price), new_client_order_id=client_order_id,
        )

    def change(self, order_id):
        return dict(
            symbol=SYMBOL, side="BUY", quantity=float(self.next_qty), price=float(self.next_price),
            order_id=order_id,
        )


async def life_of_an_order(tag, plan, orders, place, query, modify, cancel):
    client_order_id = f"{tag}-{uuid.uuid4().hex[:12]}"
    placed = await place(client_order_id)
    check(placed.status == "NEW" and D(placed.price) == plan.price, f"{tag} placed {placed}")
    order_id = placed.order_id
    check((await query(order_id)).client_order_id == client_order_id, f"{tag} query")
    modified = await modify(order_id)
    check(D(modified.price) == plan.next_price and D(modified.orig_qty) == plan.next_qty, f"{tag} {modified}")
    check(D((await query(order_id)).price) == plan.next_price, f"{tag} query after the change")
    check((await cancel(order_id)).status == "CANCELED", f"{tag} canceled")
    wanted = ["NEW", "AMENDMENT", "CANCELED"]
    await until(lambda: orders.kinds(order_id) == wanted, f"{tag} events {orders.kinds(order_id)}")
    step(f"{tag}: placed, queried, modified, canceled order {order_id}")
    return order_id


async def trade(api, plan, orders):
    async def position():
        rows = await rest(api.position_information_v3, SYMBOL)
        return sum((D(row.position_amt) for row in rows), D(0))

    before, qty = await position(), float(plan.qty)
    market = dict(symbol=SYMBOL, type="MARKET", quantity=qty, new_order_resp_type="RESULT")
    bought = await rest(api.new_order, side="BUY", **market)
    check(bought.status == "FILLED" and D(bought.executed_qty) == plan.qty, f"market order {bought}")
    await until(lambda: "TRADE" in orders.kinds(bought.order_id), "the fill on the stream")
    told = [o for o in orders.by_id[bought.order_id] if o.x == "TRADE"]
    listed = await rest(api.account_trade_list, SYMBOL, order_id=bought.order_id)
    check(sum(D(t.qty) for t in listed) == plan.qty == sum(D(o.l) for o in told), f"fills {listed} {told}")
    check({t.id for t in listed} == {o.t for o in told}, "trade ids of list and stream differ")
    lite = {e.t for e in orders.named("TradeLite")}
    check({t.id for t in listed} <= lite, "every fill is told by TRADE_LITE too")
    check(await position() == before + plan.qty, "position after the fill")
    await until(lambda: any(u.a.m == "ORDER" for u in orders.named("AccountUpdate")), "ACCOUNT_UPDATE")
    sold = await rest(api.new_order, side="SELL", reduce_only="true", **market)
    check(sold.status == "FILLED" and await position() == before, f"closed {sold}")
    step(f"market order {bought.order_id}: {len(listed)} fills, position opened and closed")


async def account(api, orders):
    check((await rest(api.account_information_v2)).can_trade is True, "account v2")
    check(any(a.asset == "USDT" for a in (await rest(api.account_information_v3)).assets), "account v3")
    for function in (api.futures_account_balance_v2, api.futures_account_balance_v3):
        check(any(D(b.balance) > 0 for b in await rest(function)), function.__name__)
    brackets = (await rest(api.notional_and_leverage_brackets, SYMBOL)).actual_instance
    brackets = brackets[0] if isinstance(brackets, list) else brackets
    check(brackets.brackets[0].initial_leverage >= 1, f"brackets {brackets}")
    rows = await rest(api.position_information_v2, SYMBOL)
    before = int(rows[0].leverage)
    check((await rest(api.change_initial_leverage, SYMBOL, before + 1)).leverage == before + 1, "leverage")
    changes = lambda: [u.ac.l for u in orders.named("AccountConfigUpdate") if u.ac]  # noqa: E731
    await until(lambda: before + 1 in changes(), "ACCOUNT_CONFIG_UPDATE")
    await rest(api.change_initial_leverage, SYMBOL, before)
    step(f"account, balances, brackets; leverage {before} changed and back")


async def over_websocket(api, tag, plan, orders):
    async def call(what, pending):
        answer = parsed(await pending, f"{tag} {what}")
        check(answer.status == 200, f"{tag} {what}: {answer}")
        return answer.result

    await life_of_an_order(
        tag, plan, orders,
        lambda client_id: call("order.place", api.new_order(**plan.order(client_id))),
        lambda i: call("order.status", api.query_order(symbol=SYMBOL, order_id=i)),
        lambda i: call("order.modify", api.modify_order(**plan.change(i))),
        lambda i: call("order.cancel", api.cancel_order(symbol=SYMBOL, order_id=i)),
    )
    await call("v2/account.balance", api.futures_account_balance_v2())
    await call("v2/account.status", api.account_information_v2())
    await call("v2/account.position", api.position_information_v2(symbol=SYMBOL))
    EXPECTED.append("Error received from server for request")
    unknown = (await api.cancel_order(symbol=SYMBOL, order_id=1)).data()
    check(unknown["error"]["code"] == -2011, f"{tag}: cancel of an unknown order {unknown}")


async def over_session(api, plan, orders):
    """Logs the session on, after which requests carry no signature."""
    logon = {"method": "session.logon", "params": {}}
    answer = await api.send_signed_message(logon, signer=api.signer, api_key=True, session_logon=True)
    check(answer.data()["result"]["apiKey"] == ED_KEY, f"session.logon {answer.data()}")
    await over_websocket(api, "session", plan, orders)
    status = (await api.send_message({"method": "session.status", "params": {}})).data()
    check(status["result"]["apiKey"] == ED_KEY, f"session.status {status}")
    logout = await api.send_message({"method": "session.logout", "params": {}}, session_logout=True)
    check(logout.data()["status"] == 200, f"session.logout {logout.data()}")


async def main():
    client = client_of(KEY, api_secret=SECRET)
    api, streams = client.rest_api, client.websocket_streams
    now = (await rest(api.check_server_time)).server_time
    check(abs(now - time.time() * 1000) < 5000, f"server time {now}")
    info = await rest(api.exchange_information)
    symbol = next(s for s in info.symbols if s.symbol == SYMBOL)
    filters = {f.filter_type: f for f in symbol.filters}
    step(f"{len(info.symbols)} instruments")

    listen_key = (await rest(api.start_user_data_stream)).listen_key
    check(await streams.create_connection() is not None and len(streams.connections) == 3, "stream sockets")
    orders, book = Orders(), Book()
    (await streams.user_data(listen_key)).on("message", orders.on_event)
    diffs = await streams.diff_book_depth_streams(symbol=SYMBOL.lower(), update_speed="100ms")
    diffs.on("message", book.on_event)
    await until(lambda: book.early, "the first diff")
    book.on_snapshot(await rest(api.order_book, SYMBOL, limit=1000))
    await until(lambda: book.applied >= 3, "three diffs")
    plan = Plan(filters, max(book.bids))
    step(f"book {max(book.bids)} / {min(book.asks)}")

    order_id = await life_of_an_order(
        "rest", plan, orders,
        lambda client_id: rest(api.new_order, **plan.order(client_id)),
        lambda i: rest(api.query_order, SYMBOL, order_id=i),
        lambda i: rest(api.modify_order, **plan.change(i)),
        lambda i: rest(api.cancel_order, SYMBOL, order_id=i),
    )
    try:
        await rest(api.cancel_order, SYMBOL, order_id=order_id)
        check(False, "a second cancel was accepted")
    except BadRequestError as e:
        check(e.status_code == -2011, f"second cancel: {e}")
    await trade(api, plan, orders)
    await account(api, orders)

    for tag, owner in (("hmac", client), ("ed25519", client_of(ED_KEY, private_key=ED_PEM))):
        sockets = owner.websocket_api
        check(await sockets.create_connection() is not None, f"{tag}: WebSocket API")
        await over_websocket(sockets, tag, plan, orders)
        if tag == "ed25519":
            await over_session(sockets, plan, orders)
        await sockets.close_connection()

    await rest(api.keepalive_user_data_stream)
    await asyncio.to_thread(api.close_user_data_stream)
    await streams.close_connection()
    step(f"{book.applied} diffs, {len(orders.events)} account events")


run(main(), COMPLAINTS)

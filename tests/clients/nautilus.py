"""NautilusTrader's Binance adapter trades on a simulator through a live trading node.

usage: nautilus.py PORT KEY SECRET_OR_@PEM_FILE

The adapter logs what it cannot parse and carries on, so a parent reads the log: an error in it is a failure.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
import traceback
from decimal import Decimal as D
from pathlib import Path

if not os.environ.get("TICKPATH_CHILD"):
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    child = [sys.executable, "-u", *sys.argv]
    try:
        result = subprocess.run(
            child, env={**environment, "TICKPATH_CHILD": "1"}, timeout=90, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        output, code = result.stdout, result.returncode
    except subprocess.TimeoutExpired as e:
        output, code = (e.stdout or b"").decode(errors="replace") + "\nno end within 90 s", 1
    print(output)
    errors = re.findall(r"^.*\[ERROR\].*\n.*$|^.*panicked at.*$", output, re.M)
    print(f"FAILED {errors[:3] or output[-500:]}" if code or errors else "OK")
    sys.exit(1 if code or errors else 0)

from nautilus_trader.adapters.binance import (  # noqa: E402
    BINANCE,
    BinanceAccountType,
    BinanceDataClientConfig,
    BinanceExecClientConfig,
    BinanceInstrumentProviderConfig,
    BinanceLiveExecClientFactory,
)
from nautilus_trader.adapters.binance.common.enums import BinanceEnvironment  # noqa: E402
from nautilus_trader.adapters.binance.factories import (  # noqa: E402
    get_cached_binance_futures_instrument_provider,
    get_cached_binance_http_client,
)
from nautilus_trader.adapters.binance.futures.data import BinanceFuturesDataClient  # noqa: E402
from nautilus_trader.config import LiveExecEngineConfig, LoggingConfig, TradingNodeConfig  # noqa: E402
from nautilus_trader.live.factories import LiveDataClientFactory  # noqa: E402
from nautilus_trader.live.node import TradingNode  # noqa: E402
from nautilus_trader.model.enums import BookType, OrderSide, OrderStatus  # noqa: E402
from nautilus_trader.model.identifiers import InstrumentId  # noqa: E402
from nautilus_trader.trading.strategy import Strategy  # noqa: E402

PORT, KEY, SECRET = sys.argv[1:4]
if SECRET.startswith("@"):
    SECRET = Path(SECRET[1:]).read_text().strip()
HTTP, WS = f"http://127.0.0.1:{PORT}", f"ws://127.0.0.1:{PORT}"
BTC, ETH = (InstrumentId.from_str(f"{base}USDT-PERP.BINANCE") for base in ("BTC", "ETH"))
REFUSALS = ("OrderDenied", "OrderRejected", "OrderModifyRejected", "OrderCancelRejected")


class RoutedData(LiveDataClientFactory):
    """The adapter's own factory takes the routes apart for the venue's host names alone."""

    @staticmethod
    def create(loop, name, config, msgbus, cache, clock):
        client = get_cached_binance_http_client(
            clock=clock, account_type=config.account_type, api_key=config.api_key,
            api_secret=config.api_secret, key_type=config.key_type, base_url=config.base_url_http,
            environment=config.environment, is_us=config.us, proxy_url=config.proxy_url,
        )
        provider = get_cached_binance_futures_instrument_provider(
            client=client, clock=clock, account_type=config.account_type,
            config=config.instrument_provider, venue=config.venue,
        )
        return BinanceFuturesDataClient(
            loop=loop, client=client, msgbus=msgbus, cache=cache, clock=clock,
            instrument_provider=provider, name=name, config=config, account_type=config.account_type,
            base_url_ws=f"{WS}/market", base_url_ws_public=f"{WS}/public",
        )


class Probe(Strategy):
    """Subscribes to both books and keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.events, self.deltas = [], {BTC: 0, ETH: 0}

    def on_start(self):
        for instrument in (BTC, ETH):
            self.subscribe_order_book_deltas(
                instrument, book_type=BookType.L2_MBP, params={"update_speed": 100}
            )

    def on_order_book_deltas(self, deltas):
        self.deltas[deltas.instrument_id] += 1

    def on_order_event(self, event):
        self.events.append(event)


async def until(holds, what, probe=None, patience=10):
    end = time.monotonic() + patience
    while not holds():
        for event in probe.events if probe else ():
            assert type(event).__name__ not in REFUSALS, f"{what}: {event}"
        assert time.monotonic() < end, f"waited {patience} s for {what}"
        await asyncio.sleep(0.02)
    print(f"ok: {what}", flush=True)


async def scenario(node, probe):
    cache = node.cache
    await until(lambda: probe.is_running, "connected and reconciled", patience=25)
    assert cache.account_for_venue(BTC.venue) is not None, "account"
    for name in (BTC, ETH):
        assert cache.instrument(name), f"instrument {name}"
        await until(lambda n=name: cache.order_book(n) and cache.order_book(n).best_ask_price(), f"book {name}")
    instrument, book = cache.instrument(BTC), cache.order_book(BTC)
    tick, lot = D(str(instrument.price_increment)), instrument.size_increment.as_decimal()

    def price(value):
        return instrument.make_price(value // tick * tick)

    def qty(more):
        smallest = instrument.min_notional.as_decimal() * D("1.3") / book.best_bid_price().as_decimal() / lot
        return instrument.make_qty((smallest.to_integral_value("ROUND_CEILING") + more) * lot)

    def net():
        return sum((p.signed_decimal_qty() for p in cache.positions_open(instrument_id=BTC)), D(0))

    low = price(book.best_bid_price().as_decimal() * D("0.98"))
    order = probe.order_factory.limit(BTC, OrderSide.BUY, qty(0), low)
    probe.submit_order(order)
    await until(lambda: order.status == OrderStatus.ACCEPTED, "limit order accepted", probe)
    lower = price(low.as_decimal() - 1)
    probe.modify_order(order, quantity=qty(1), price=lower)
    await until(lambda: order.price == lower and order.quantity == qty(1), "order modified", probe)
    probe.cancel_order(order)
    await until(lambda: order.status == OrderStatus.CANCELED, "order canceled", probe)

    before, size = net(), qty(0)
    crossing = price(book.best_ask_price().as_decimal() * D("1.01"))
    order = probe.order_factory.limit(BTC, OrderSide.BUY, size, crossing)
    probe.submit_order(order)
    await until(lambda: order.status == OrderStatus.FILLED, "crossing order filled", probe)
    await until(lambda: net() - before == size.as_decimal(), "position opened")
    order = probe.order_factory.market(BTC, OrderSide.SELL, size, reduce_only=True)
    probe.submit_order(order)
    await until(lambda: order.status == OrderStatus.FILLED and net() == before, "position closed", probe)
    # The first is the snapshot.
    await until(lambda: probe.deltas[BTC] > 1 and probe.deltas[ETH] > 1, "diffs of both books")


async def drive(node, probe):
    running, code = asyncio.create_task(node.run_async()), 0
    try:
        await asyncio.wait_for(scenario(node, probe), 60)
    except BaseException:  # noqa: BLE001 - told, then the node is stopped in order
        traceback.print_exc()
        code = 1
    await asyncio.wait_for(node.stop_async(), 10)
    running.cancel()
    return code


def main():
    common = dict(
        api_key=KEY, api_secret=SECRET, account_type=BinanceAccountType.USDT_FUTURES, base_url_http=HTTP,
        environment=BinanceEnvironment.LIVE,
        instrument_provider=BinanceInstrumentProviderConfig(
            load_ids=frozenset({BTC, ETH}), query_commission_rates=True
        ),
    )
    execution = BinanceExecClientConfig(
        base_url_ws=f"{WS}/ws-fapi/v1", base_url_ws_stream=f"{WS}/private", **common
    )
    config = TradingNodeConfig(
        trader_id="TESTER-001", logging=LoggingConfig(log_level="WARNING", log_colors=False),
        exec_engine=LiveExecEngineConfig(reconciliation=True),
        data_clients={BINANCE: BinanceDataClientConfig(base_url_ws=WS, **common)},
        exec_clients={BINANCE: execution},
        timeout_connection=12.0, timeout_disconnection=5.0, timeout_post_stop=0.5, timeout_shutdown=3.0,
    )
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    node, probe = TradingNode(loop=loop, config=config), Probe()
    node.trader.add_strategy(probe)
    node.add_data_client_factory(BINANCE, RoutedData)
    node.add_exec_client_factory(BINANCE, BinanceLiveExecClientFactory)
    node.build()
    code = loop.run_until_complete(drive(node, probe))
    node.dispose()
    sys.stdout.flush()
    os._exit(code)


main()

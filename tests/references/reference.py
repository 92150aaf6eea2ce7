"""Runs reference packages over recorded bars and writes what they found, a CSV file for each of them.

Usage: reference.py DATA OUT
Bars go out too, as they were fed: prices in whole ticks where a package rounds to 32 bits.
"""

import csv
import gzip
import sys
from pathlib import Path

import bayesian_changepoint_detection.online_changepoint_detection as ocd
import numpy as np
import pandas as pd
import talib
from arch import arch_model
from filterpy.kalman import KalmanFilter
from functools import partial
from smartmoneyconcepts import smc

data, out = Path(sys.argv[1]), Path(sys.argv[2])


def bars(name, scale=1.0):
    with gzip.open(data / name, "rt") as file:
        frame = pd.read_csv(file)
    frame.columns = [c.lower() for c in frame.columns]
    frame = frame[["open", "high", "low", "close", "volume"]].reset_index(drop=True)
    for column in ["open", "high", "low", "close"]:
        if scale != 1.0:
            frame[column] = (frame[column] * scale).round()
    return frame.astype(float)


def write(name, header, rows):
    with open(out / name, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in rows:
            writer.writerow(["" if value is None or value != value else repr(float(value)) for value in row])


def write_bars(name, frame):
    write(name, list(frame.columns), frame.values.tolist())


def indicators():
    frame = bars("bars/bybit-linear_btcusdt_1m_2025-05-30_2025-06-29.csv.gz")
    write_bars("bars.csv", frame)
    close, high, low = (frame[c].to_numpy() for c in ["close", "high", "low"])
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    line, signal, _ = talib.MACD(close, 12, 26, 9)
    columns = [
        talib.SMA(close, 20),
        talib.EMA(close, 50),
        talib.RSI(close, 14),
        talib.ATR(high, low, close, 14),
        upper,
        middle,
        lower,
        line,
        signal,
    ]
    names = ["sma", "ema", "rsi", "atr", "upper", "middle", "lower", "macd", "signal"]
    write("indicators.csv", names, np.array(columns).T.tolist())


def standardised():
    close = bars("bars/bybit-linear_btcusdt_1m_2025-05-30_2025-06-29.csv.gz")["close"]
    # Each window by itself: running sums would lose digits.
    windows = np.lib.stride_tricks.sliding_window_view(close.to_numpy(), 100)[:-1]
    z = (close.to_numpy()[100:] - windows.mean(axis=1)) / windows.std(axis=1, ddof=1)
    weights = close.ewm(alpha=2 / 101, adjust=False)
    rows = zip(np.concatenate([np.full(100, np.nan), z]), weights.mean(), weights.var(bias=True))
    write("standardised.csv", ["z", "mean", "variance"], [list(row) for row in rows])


def kalman():
    x = np.log(bars("bars/bybit-linear_btcusdt_5m_2025-04-03_2025-07-02.csv.gz")["close"].to_numpy())
    y = np.log(bars("bars/bybit-linear_ethusdt_5m_2025-04-03_2025-07-02.csv.gz")["close"].to_numpy())
    filter = KalmanFilter(dim_x=2, dim_z=1)
    filter.P, filter.Q, filter.R = np.eye(2), np.eye(2) * 1e-7, np.array([[1e-4]])
    rows = []
    for a, b in zip(x, y):
        filter.H = np.array([[a, 1.0]])
        filter.predict()
        filter.update(np.array([b]))
        error, variance = filter.y[0, 0], filter.S[0, 0]
        rows.append([a, b, filter.x[0, 0], filter.x[1, 0], error / np.sqrt(variance)])
    write("kalman.csv", ["x", "y", "beta", "alpha", "z"], rows)


def garch():
    returns, fits = [], []
    close = bars("bars/bybit-linear_btcusdt_5m_2025-04-03_2025-07-02.csv.gz")["close"]
    # In units in which they are about 1: the optimiser of the package stops early on small numbers.
    series = [1000 * np.log(close).diff().dropna().to_numpy()[at : at + 5000] for at in range(0, 25000, 5000)]
    for name in ["sp500", "nasdaq"]:
        close = bars(f"bars/{name}_daily_arch.csv.gz")["close"]
        series.append(100 * np.log(close).diff().dropna().to_numpy())
    for number, r in enumerate(series):
        model = arch_model(r, mean="Zero", vol="GARCH", p=1, q=1, dist="normal", rescale=False)
        found = model.fit(disp="off", tol=1e-12, options={"maxiter": 2000})
        omega, alpha, beta = found.params
        fits.append([omega, alpha, beta, found.loglikelihood])
        returns += [[number, a, h**2] for a, h in zip(r, found.conditional_volatility)]
    write("garch.csv", ["omega", "alpha", "beta", "ln_likelihood"], fits)
    write("returns.csv", ["series", "r", "variance"], returns)


def changepoint():
    close = bars("bars/bybit-linear_ethusdt_5m_2025-04-03_2025-07-02.csv.gz")["close"]
    returns = np.log(close).diff().dropna().to_numpy() * 1000
    rows = []
    for number in range(20):
        x = returns[number * 500 : (number + 1) * 500]
        posterior, _ = ocd.online_changepoint_detection(
            x, partial(ocd.constant_hazard, 250), ocd.StudentT(0.1, 0.01, 1, 0)
        )
        for t, value in enumerate(x):
            column = posterior[: t + 2, t + 1]
            runs = np.arange(t + 2)
            rows.append([number, value, column.argmax(), column[:6].sum(), (runs * column).sum()])
    write("changepoint.csv", ["series", "x", "likeliest", "recent", "expected"], rows)


def smart_money():
    files = {
        "btc": ("bars/bybit-linear_btcusdt_5m_2025-04-03_2025-07-02.csv.gz", 10),
        "eth": ("bars/bybit-linear_ethusdt_5m_2025-04-03_2025-07-02.csv.gz", 100),
        "eur": ("smc-reference/eurusd_EURUSD_15M.csv.gz", 100000),
    }
    for name, (file, scale) in files.items():
        frame = bars(file, scale)
        if name == "eur":
            # The broker's file has no volume worth the name.
            frame["volume"] = np.arange(len(frame)) % 97 + 1.0
        write_bars(f"smc-{name}-bars.csv", frame)
        for length in [5, 20]:
            swings = smc.swing_highs_lows(frame, swing_length=length)
            # Artefacts: forced onto the first and the last bar.
            swings.iloc[0] = np.nan
            swings.iloc[-1] = np.nan
            parts = {
                "swings": swings,
                "structure": smc.bos_choch(frame, swings),
                "blocks": smc.ob(frame, swings),
                "pools": smc.liquidity(frame, swings, range_percent=0.005),
                "gaps": smc.fvg(frame),
            }
            for part, found in parts.items():
                found = found.copy()
                found.insert(0, "at", np.arange(len(found)))
                first = found.columns[1]
                keep = found[first].notna()
                if part == "structure":
                    keep = found["BOS"].notna() | found["CHOCH"].notna()
                write(f"smc-{name}-{length}-{part}.csv", list(found.columns), found[keep].values.tolist())


indicators()
standardised()
kalman()
garch()
changepoint()
smart_money()

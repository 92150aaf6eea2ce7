//! Operators with a value a bar.

use super::{FLOOR, Table, agree, references};
use tickpath_control::fit;
use tickpath_hotpath::{
    signal::{
        Atr, Bollinger, Changepoint, ChangepointPrior, Ema, EwZ, Garch, GarchParameters, HedgeRatio, Macd,
        RollingZ, Rsi, Sma,
    },
    wire::simd::Isa,
};

#[test]
fn indicators_are_those_of_ta_lib() {
    let Some(dir) = references() else { return };
    let bars = Table::read(dir, "bars.csv").bars();
    let expected = Table::read(dir, "indicators.csv");
    let check = |name: &str, values: Vec<Option<f64>>| agree(name, &values, &expected.column(name), FLOOR);
    let (mut sma, mut ema, mut rsi) = (Sma::new(20), Ema::new(50), Rsi::new(14));
    check("sma", bars.iter().map(|bar| sma.push(bar.close)).collect());
    check("ema", bars.iter().map(|bar| ema.push(bar.close)).collect());
    check("rsi", bars.iter().map(|bar| rsi.push(bar.close)).collect());
    let mut atr = Atr::new(14);
    check("atr", bars.iter().map(|bar| atr.push(bar)).collect());
    let mut bollinger = Bollinger::new(20, 2.0, 2.0);
    let bands: Vec<_> = bars.iter().map(|bar| bollinger.push(bar.close)).collect();
    check("upper", bands.iter().map(|b| b.map(|b| b.upper)).collect());
    check("middle", bands.iter().map(|b| b.map(|b| b.middle)).collect());
    check("lower", bands.iter().map(|b| b.map(|b| b.lower)).collect());
    let mut macd = Macd::new(12, 26, 9);
    let values: Vec<_> = bars.iter().map(|bar| macd.push(bar.close)).collect();
    check("macd", values.iter().map(|v| v.map(|v| v.line)).collect());
    check("signal", values.iter().map(|v| v.map(|v| v.signal)).collect());
}

#[test]
fn standardised_values_are_those_of_numpy_and_pandas() {
    let Some(dir) = references() else { return };
    let bars = Table::read(dir, "bars.csv").bars();
    let expected = Table::read(dir, "standardised.csv");
    let mut window = RollingZ::new(100);
    let mut z = |close: f64| {
        let z = window.z(close);
        window.push(close);
        z
    };
    let found: Vec<_> = bars.iter().map(|bar| z(bar.close)).collect();
    // Near its mean a price has no more digits than the mean: compared in deviations.
    agree("rolling z", &found, &expected.column("z"), 1.0);
    let mut weighted = EwZ::new(100);
    let both: Vec<_> = bars
        .iter()
        .map(|bar| {
            weighted.push(bar.close);
            (weighted.mean(), weighted.variance())
        })
        .collect();
    let column = |part: fn(&(f64, f64)) -> f64| both.iter().map(|v| Some(part(v))).collect::<Vec<_>>();
    agree("weighted mean", &column(|v| v.0), &expected.column("mean"), FLOOR);
    agree("weighted variance", &column(|v| v.1), &expected.column("variance"), FLOOR);
}

#[test]
fn the_hedge_ratio_is_that_of_filterpy() {
    let Some(dir) = references() else { return };
    let table = Table::read(dir, "kalman.csv");
    let (x, y) = (table.column("x"), table.column("y"));
    let mut filter = HedgeRatio::new(1.0, 1e-7, 1e-4);
    let found: Vec<_> = x
        .iter()
        .zip(&y)
        .map(|(&x, &y)| {
            let z = filter.observe(x, y).unwrap().z;
            [filter.beta(), filter.alpha(), z]
        })
        .collect();
    assert_eq!(filter.outliers(), 0);
    for (part, name) in ["beta", "alpha", "z"].into_iter().enumerate() {
        let values: Vec<_> = found.iter().map(|v| Some(v[part])).collect();
        agree(name, &values, &table.column(name), FLOOR);
    }
}

#[test]
fn variances_and_fits_are_those_of_arch() {
    let Some(dir) = references() else { return };
    let (returns, fits) = (Table::read(dir, "returns.csv"), Table::read(dir, "garch.csv"));
    let [series, r, variance] = ["series", "r", "variance"].map(|name| returns.column(name));
    for (number, row) in fits.rows.iter().enumerate() {
        let [omega, alpha, beta, ln_likelihood] = [row[0], row[1], row[2], row[3]];
        let of_series: Vec<usize> = (0..r.len()).filter(|&i| series[i] == number as f64).collect();
        let values: Vec<f64> = of_series.iter().map(|&i| r[i]).collect();
        let expected: Vec<f64> = of_series.iter().map(|&i| variance[i]).collect();
        let found = fit::garch::fit(&values);
        println!("series {number}: arch {omega:.6} {alpha:.6} {beta:.6} {ln_likelihood:.5}, ours {found:?}");
        let parameters = GarchParameters { omega, alpha, beta };
        if !parameters.is_stationary() {
            assert!(matches!(found, Err(fit::garch::FitError::Boundary(_))));
            continue;
        }
        let found = found.unwrap();
        // A likelihood may be higher than that of the package, not lower.
        assert!(found.ln_likelihood >= ln_likelihood - 1e-4, "series {number}");
        let errors = [found.omega - omega, found.alpha - alpha, found.beta - beta];
        assert!(errors.iter().all(|e| e.abs() < 1e-3), "series {number}: {errors:?}");
        let mut recursion = Garch::from_backcast(parameters, found.backcast);
        let mut variances = vec![Some(recursion.variance())];
        variances.extend(values.iter().map(|&r| Some(recursion.push(r))));
        // The last one is of the return that has not come yet.
        variances.pop();
        agree("variance", &variances, &expected, FLOOR);
    }
}

#[test]
fn run_lengths_are_those_of_bayesian_changepoint_detection() {
    let Some(dir) = references() else { return };
    let table = Table::read(dir, "changepoint.csv");
    let [series, x, likeliest] = ["series", "x", "likeliest"].map(|name| table.column(name));
    let prior = ChangepointPrior { lambda: 250.0, mu: 0.0, kappa: 1.0, alpha: 0.1, beta: 0.01 };
    let fresh = || Changepoint::new(prior, 500, Isa::choose().unwrap());
    let mut detector = fresh();
    let (mut recent, mut expected, mut changes) = (Vec::new(), Vec::new(), 0);
    for i in 0..x.len() {
        if i > 0 && series[i] != series[i - 1] {
            detector = fresh();
        }
        assert!(detector.push(x[i]));
        let run = detector.likeliest();
        assert_eq!(run as f64, likeliest[i], "observation {i}");
        changes += usize::from(i > 0 && series[i] == series[i - 1] && (run as f64) <= likeliest[i - 1]);
        recent.push(Some(detector.recent(5)));
        expected.push(Some(detector.expected()));
    }
    println!("{changes} changes in {} observations", x.len());
    assert!(changes > 20);
    agree("recent change", &recent, &table.column("recent"), FLOOR);
    agree("expected run", &expected, &table.column("expected"), FLOOR);
}

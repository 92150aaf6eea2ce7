//! What a curve leaves on disk: histograms (`.hlog`, `.hgrm`), JSON and a chart.

use super::{
    loopback::{Outlier, Point},
    report::Percentiles,
};
use anyhow::{Context, Result, anyhow};
use hdrhistogram::{
    Histogram,
    serialization::{
        V2Serializer,
        interval_log::{IntervalLogWriterBuilder, Tag},
    },
};
use serde_json::json;
use std::{
    fmt::Write,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

/// Writes `latency.json`, `latency.svg`, `latency.hlog` and one `.hgrm` a rate into `dir`.
///
/// # Errors
///
/// Those of the file system.
pub(super) fn curve(dir: &Path, title: &str, points: &[Point]) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("output directory {}", dir.display()))?;
    let put = |name: &str, text: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())
    };
    put("latency.json", serde_json::to_string_pretty(&json(title, points))?.as_bytes())?;
    put("latency.svg", svg(title, points).as_bytes())?;
    put("latency.hlog", &hlog(points)?)?;
    for point in points {
        put(&format!("latency-{}.hgrm", point.per_second), hgrm(point.sample.histogram()).as_bytes())?;
    }
    Ok(())
}

fn json(title: &str, points: &[Point]) -> serde_json::Value {
    let stage = |(name, h): &(&str, tickpath_shared::histogram::HistogramCopy)| {
        json!({"stage": name, "count": h.count(), "p50_ns": h.quantile_ns(0.5), "p99_ns": h.quantile_ns(0.99),
               "p999_ns": h.quantile_ns(0.999), "max_ns": h.max_ns})
    };
    let point = |p: &Point| {
        json!({
            "offered_per_second": p.per_second,
            "carried_per_second": p.carried_per_second,
            "is_saturated": p.is_saturated,
            "sent": p.sent,
            "unanswered": p.unanswered,
            "hop_ns": p.hop_ns,
            "latency": Percentiles::of(p.sample.histogram()),
            "stages": p.stages.iter().filter(|(_, h)| h.count() > 0).map(stage).collect::<Vec<_>>(),
            "outliers": outliers(&p.outliers),
        })
    };
    json!({"title": title, "unit": "nanoseconds", "points": points.iter().map(point).collect::<Vec<_>>()})
}

fn outliers(outliers: &[Outlier]) -> serde_json::Value {
    outliers.iter().map(|o| json!(o)).collect()
}

/// An interval log with one entry a rate, tagged with it.
fn hlog(points: &[Point]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut serializer = V2Serializer::new();
    let now = SystemTime::now();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("tickpath latency, nanoseconds, by offered ticks a second")
        .with_start_time(now)
        .with_base_time(now)
        .begin_log_with(&mut out, &mut serializer)
        .map_err(|e| anyhow!("interval log: {e:?}"))?;
    for point in points {
        let name = point.per_second.to_string();
        let tag = Tag::new(&name).context("a number is a tag")?;
        log.write_histogram(point.sample.histogram(), Duration::ZERO, Duration::from_secs(1), Some(tag))
            .map_err(|e| anyhow!("interval log: {e:?}"))?;
    }
    drop(log);
    Ok(out)
}

/// The percentile distribution as HdrHistogram's own tools print and plot it.
fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut out =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    for value in histogram.iter_quantiles(5) {
        let quantile = value.quantile_iterated_to();
        let _ = write!(out, "{:>12.3} {quantile:>14.12} {:>10}", value.value_iterated_to() as f64, {
            histogram.count_between(0, value.value_iterated_to())
        });
        let _ =
            if quantile < 1.0 { writeln!(out, " {:>14.2}", 1.0 / (1.0 - quantile)) } else { writeln!(out) };
    }
    let _ = writeln!(
        out,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]\n#[Max     = {:>12.3}, Total count    = {:>12}]\n#[Buckets = {:>12}, SubBuckets     = {:>12}]",
        histogram.mean(),
        histogram.stdev(),
        histogram.max() as f64,
        histogram.len(),
        1,
        histogram.distinct_values()
    );
    out
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 480.0;
const MARGIN: f64 = 70.0;

/// Lines of the chart: label, colour, quantile.
const LINES: [(&str, &str, f64); 5] = [
    ("p50", "#2563eb", 0.5),
    ("p99", "#059669", 0.99),
    ("p99.9", "#d97706", 0.999),
    ("p99.99", "#dc2626", 0.9999),
    ("max", "#6b7280", 1.0),
];

/// Latency against offered load, both axes logarithmic.
fn svg(title: &str, points: &[Point]) -> String {
    let loads: Vec<f64> = points.iter().map(|p| p.per_second as f64).collect();
    let value = |p: &Point, quantile| p.sample.histogram().value_at_quantile(quantile).max(1) as f64;
    let values: Vec<f64> = points.iter().flat_map(|p| LINES.map(|line| value(p, line.2))).collect();
    let x = Axis::over(&loads, MARGIN, WIDTH - MARGIN);
    let y = Axis::over(&values, HEIGHT - MARGIN, MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{MARGIN}\" y=\"28\" font-size=\"15\">{}</text>\n\
         <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">offered ticks a second</text>\n\
         <text x=\"16\" y=\"{:.0}\" transform=\"rotate(-90 16 {:.0})\" text-anchor=\"middle\">latency, nanoseconds</text>\n",
        title.replace('&', "&amp;").replace('<', "&lt;"),
        WIDTH / 2.0,
        HEIGHT - 18.0,
        HEIGHT / 2.0,
        HEIGHT / 2.0
    );
    out += &grid(&x, &y);
    for (index, (label, colour, quantile)) in LINES.into_iter().enumerate() {
        let at = |p: &Point| format!("{:.1},{:.1}", x.at(p.per_second as f64), y.at(value(p, quantile)));
        let line: Vec<String> = points.iter().map(at).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
        for point in &line {
            let (cx, cy) = point.split_once(',').unwrap_or_default();
            let _ = writeln!(out, "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let _ = writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{:.0}\" fill=\"{colour}\">{label}</text>",
            WIDTH - MARGIN + 10.0,
            MARGIN + 16.0 * index as f64
        );
    }
    out + "</svg>\n"
}

/// The lines of whole decades and their numbers.
fn grid(x: &Axis, y: &Axis) -> String {
    let mut out = String::new();
    for (tick, at) in y.ticks() {
        let _ = writeln!(
            out,
            "<path d=\"M{MARGIN} {at:.1}H{:.1}\" stroke=\"#e5e7eb\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - MARGIN,
            MARGIN - 6.0,
            at + 4.0,
            short(tick)
        );
    }
    for (tick, at) in x.ticks() {
        let _ = writeln!(
            out,
            "<path d=\"M{at:.1} {MARGIN}V{:.1}\" stroke=\"#e5e7eb\"/><text x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - MARGIN,
            HEIGHT - MARGIN + 18.0,
            short(tick)
        );
    }
    out
}

/// A logarithmic axis from whole decade to whole decade.
struct Axis {
    first: i32,
    last: i32,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: &[f64], from: f64, to: f64) -> Self {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min).max(1.0);
        let most = values.iter().copied().fold(1.0, f64::max);
        let (first, last) = (least.min(most).log10().floor() as i32, most.log10().ceil() as i32);
        Self { first, last: last.max(first + 1), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.max(1.0).log10() - f64::from(self.first)) / f64::from(self.last - self.first);
        self.from + share * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        (self.first..=self.last).map(|power| 10_f64.powi(power)).map(|value| (value, self.at(value)))
    }
}

/// 1,000 as 1k, 1,000,000 as 1M.
fn short(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{}G", v / 1e9),
        v if v >= 1e6 => format!("{}M", v / 1e6),
        v if v >= 1e3 => format!("{}k", v / 1e3),
        v => format!("{v}"),
    }
}

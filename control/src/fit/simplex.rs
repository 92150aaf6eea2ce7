//! Nelder and Mead's simplex (1965) for functions of a few variables without derivatives.

/// Steps after which the best point so far is the answer.
const STEPS_MAX: usize = 2_000;

/// A minimum near `start`, looked for with first steps of `size`; ends when the values of all corners agree to
/// `tolerance`. Values that are not finite count as worst.
pub(super) fn minimum<const N: usize>(
    start: [f64; N],
    size: f64,
    tolerance: f64,
    f: impl Fn(&[f64; N]) -> f64,
) -> ([f64; N], f64) {
    let value = |x: &[f64; N]| Some(f(x)).filter(|y| y.is_finite()).unwrap_or(f64::INFINITY);
    let mut corners: Vec<([f64; N], f64)> = (0..=N)
        .map(|i| {
            let mut x = start;
            if i > 0 {
                x[i - 1] += size;
            }
            (x, value(&x))
        })
        .collect();
    for _ in 0..STEPS_MAX {
        corners.sort_by(|a, b| a.1.total_cmp(&b.1));
        if corners[N].1 - corners[0].1 <= tolerance {
            break;
        }
        match next_corner(&corners, &value) {
            Some(corner) => corners[N] = corner,
            None => {
                let best = corners[0].0;
                for (x, y) in &mut corners[1..] {
                    *x = std::array::from_fn(|i| best[i] + 0.5 * (x[i] - best[i]));
                    *y = value(x);
                }
            }
        }
    }
    corners.sort_by(|a, b| a.1.total_cmp(&b.1));
    corners[0]
}

/// What comes in the place of the worst of sorted corners; `None` when all must move towards the best.
fn next_corner<const N: usize>(
    corners: &[([f64; N], f64)],
    value: &impl Fn(&[f64; N]) -> f64,
) -> Option<([f64; N], f64)> {
    let worst = corners[N];
    let center: [f64; N] =
        std::array::from_fn(|i| corners[..N].iter().map(|(x, _)| x[i]).sum::<f64>() / N as f64);
    let along = |t: f64| {
        let x = std::array::from_fn(|i| center[i] + t * (worst.0[i] - center[i]));
        (x, value(&x))
    };
    let reflected = along(-1.0);
    if reflected.1 < corners[0].1 {
        let expanded = along(-2.0);
        return Some(if expanded.1 < reflected.1 { expanded } else { reflected });
    }
    if reflected.1 < corners[N - 1].1 {
        return Some(reflected);
    }
    let contracted = if reflected.1 < worst.1 { along(-0.5) } else { along(0.5) };
    (contracted.1 < worst.1.min(reflected.1)).then_some(contracted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bottom_of_a_curved_valley() {
        let valley = |x: &[f64; 2]| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2);
        let (x, y) = minimum([-1.2, 1.0], 0.5, 1e-16, valley);
        assert!(y < 1e-12 && (x[0] - 1.0).abs() < 1e-5, "{x:?} {y}");
    }
}

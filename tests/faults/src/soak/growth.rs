//! Whether a program grows.

use std::{fmt, time::Duration};

use super::Sample;

/// Memory may grow by so much an hour before it counts as a leak. What an allocator keeps of a surge
/// is more than that within minutes, which is what the error of the slope is for.
const KB_A_MINUTE: f64 = 50.0;

/// Of fewer samples, 5 minutes' worth, a line says nothing.
const ENOUGH: usize = 60;

/// From the first third of the quiet times to the last one, medians may rise by so many. Connections
/// that wait for the next surge come and go, and each has a descriptor and a task.
const MORE: u64 = 8;

/// A line through the memory, when each fault has been made once, and the rest at quiet times.
///
/// How much the buffers take depends on what has piled up, and the allocator keeps what they took most.
/// What comes on top of that in the next rounds is growth.
#[derive(Debug)]
pub struct Growth {
    pub resident: Trend,
    /// Of the quiet times alone.
    pub quiet_resident: Trend,
    pub peak: u64,
    pub descriptors: Spread,
    pub threads: Spread,
    pub tasks: Spread,
}

/// A least-squares line: kB a minute, with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    pub slope: f64,
    pub error: f64,
    pub samples: usize,
    /// The mean, in kB.
    pub mean: f64,
}

/// Of a number at quiet times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    pub min: u64,
    pub median: u64,
    pub max: u64,
    /// The medians of the first third and of the last.
    pub first: u64,
    pub last: u64,
}

impl Growth {
    pub(super) fn of(samples: &[Sample], warm_up: Duration) -> Self {
        let warm: Vec<_> = samples.iter().filter(|it| it.at >= warm_up).collect();
        let quiet: Vec<_> = warm.iter().filter(|it| it.quiet).copied().collect();
        let spread = |number: fn(&Sample) -> u64| {
            Spread::of(&quiet.iter().map(|it| number(it)).collect::<Vec<_>>())
        };
        Self {
            resident: Trend::of(&warm),
            quiet_resident: Trend::of(&quiet),
            peak: samples.iter().map(|it| it.resident).max().unwrap_or(0),
            descriptors: spread(|it| it.descriptors),
            threads: spread(|it| it.threads),
            tasks: spread(|it| it.tasks),
        }
    }

    /// What grows, if anything does.
    pub fn failure(&self) -> Option<String> {
        let mut wrong = Vec::new();
        for trend in [self.resident, self.quiet_resident] {
            if trend.grows() {
                wrong.push(format!("memory grows: {trend}"));
            }
        }
        let counts = [
            ("descriptors", self.descriptors),
            ("threads", self.threads),
            ("tasks", self.tasks),
        ];
        for (what, spread) in counts {
            if spread.last > spread.first + MORE {
                wrong.push(format!("{what} grow: {spread}"));
            }
        }
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }
}

impl Trend {
    fn of(samples: &[&Sample]) -> Self {
        let points: Vec<_> = samples
            .iter()
            .map(|it| (it.at.as_secs_f64() / 60.0, it.resident as f64 / 1024.0))
            .collect();
        Self::through(&points)
    }

    fn through(points: &[(f64, f64)]) -> Self {
        let n = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
        let (x, y) = (mean(|it| it.0), mean(|it| it.1));
        let sxx: f64 = points.iter().map(|it| (it.0 - x).powi(2)).sum();
        let sxy: f64 = points.iter().map(|it| (it.0 - x) * (it.1 - y)).sum();
        let slope = sxy / sxx;
        let residual = |it: &(f64, f64)| (it.1 - y - slope * (it.0 - x)).powi(2);
        let variance = points.iter().map(residual).sum::<f64>() / (n - 2.0);
        Self {
            slope,
            error: (variance / sxx).sqrt(),
            samples: points.len(),
            mean: y,
        }
    }

    /// More than is allowed, and more than chance explains.
    fn grows(self) -> bool {
        self.samples >= ENOUGH && self.slope - 2.0 * self.error > KB_A_MINUTE
    }
}

impl fmt::Display for Trend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:+.1} ± {:.1} kB/min around {:.1} MB ({} samples{})",
            self.slope,
            self.error,
            self.mean / 1024.0,
            self.samples,
            if self.samples < ENOUGH {
                ": too few to judge by"
            } else {
                ""
            }
        )
    }
}

impl Spread {
    fn of(numbers: &[u64]) -> Self {
        let third = numbers.len().div_ceil(3);
        Self {
            min: numbers.iter().copied().min().unwrap_or(0),
            median: median(numbers),
            max: numbers.iter().copied().max().unwrap_or(0),
            first: median(&numbers[..third]),
            last: median(&numbers[numbers.len() - third..]),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            min,
            median,
            max,
            first,
            last,
        } = self;
        write!(
            f,
            "{min} / {median} / {max} (median of the first third {first}, of the last {last})"
        )
    }
}

fn median(numbers: &[u64]) -> u64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "resident memory")?;
        writeln!(f, "  at all times       {}", self.resident)?;
        writeln!(f, "  at quiet times     {}", self.quiet_resident)?;
        writeln!(
            f,
            "  peak               {:.1} MB",
            self.peak as f64 / 1048576.0
        )?;
        writeln!(f, "min / median / max at quiet times")?;
        writeln!(f, "  file descriptors   {}", self.descriptors)?;
        writeln!(f, "  threads            {}", self.threads)?;
        writeln!(f, "  tasks              {}", self.tasks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(memory: impl Fn(u64) -> u64, tasks: impl Fn(u64) -> u64) -> Vec<Sample> {
        (0..360)
            .map(|at| Sample {
                at: Duration::from_secs(5 * at),
                quiet: at % 12 > 6,
                resident: memory(at),
                descriptors: 40,
                threads: 8,
                tasks: tasks(at),
            })
            .collect()
    }

    fn failure(memory: impl Fn(u64) -> u64, tasks: impl Fn(u64) -> u64) -> Option<String> {
        Growth::of(&samples(memory, tasks), Duration::from_secs(300)).failure()
    }

    const MB: u64 = 1 << 20;

    #[test]
    fn a_line_is_found_with_its_error() {
        let line = Trend::through(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]);
        assert_eq!((line.slope, line.error, line.mean), (2.0, 0.0, 3.0));
        // By hand: slope 0.5, residuals -0.5, 1, -0.5.
        let line = Trend::through(&[(0.0, 0.0), (1.0, 2.0), (2.0, 1.0)]);
        assert_eq!(line.slope, 0.5);
        assert!(
            (line.error - (1.5_f64 / 2.0).sqrt()).abs() < 1e-9,
            "{line:?}"
        );
    }

    #[test]
    fn noise_is_no_growth_but_a_leak_is() {
        let noise = |at: u64| 40 * MB + at * 7919 % 2048 * 1024;
        assert_eq!(failure(noise, |_| 30), None);
        // 8 kB every 5 s.
        assert!(failure(|at| noise(at) + at * 8192, |_| 30).is_some());
        assert!(failure(noise, |at| 30 + at / 20).is_some());
    }

    #[test]
    fn warming_up_is_no_growth() {
        let warm = |at: u64| 40 * MB - (60 - at.min(60)) * MB / 4;
        assert_eq!(failure(warm, |_| 30), None);
    }
}

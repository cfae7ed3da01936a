//! What was found: figures with their yardsticks, medians over the runs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::report::median;

/// The figures of one run, in order.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

#[derive(Debug, Clone)]
struct Figure {
    line: String,
    digits: usize,
    value: f64,
    yardstick: Option<f64>,
}

impl Figures {
    /// A figure alone, with so many digits.
    pub(crate) fn alone(&mut self, line: &str, digits: usize, value: f64) {
        self.add(line, digits, value, None);
    }

    /// A figure beside what it is to be compared with.
    pub(crate) fn beside(&mut self, line: &str, digits: usize, value: f64, yardstick: f64) {
        self.add(line, digits, value, Some(yardstick));
    }

    fn add(&mut self, line: &str, digits: usize, value: f64, yardstick: Option<f64>) {
        self.0.push(Figure {
            line: line.to_owned(),
            digits,
            value,
            yardstick,
        });
    }

    /// A table of the medians of runs, which have the same lines, and the span of the figures.
    pub(crate) fn table(runs: &[Self]) -> String {
        let mut text =
            "\n| line | figure | yardstick | ratio | least to most |\n|---|--:|--:|--:|--:|\n"
                .to_owned();
        let first = runs.first().map(|run| run.0.as_slice()).unwrap_or_default();
        for (at, figure) in first.iter().enumerate() {
            let of = |which: fn(&Figure) -> Option<f64>| {
                let figures = runs.iter().filter_map(|run| run.0.get(at));
                figures.filter_map(which).collect::<Vec<f64>>()
            };
            let values = of(|figure| Some(figure.value));
            let (value, digits) = (median(&values), figure.digits);
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let (yardstick, ratio) = figure.yardstick.map_or_else(Default::default, |_| {
                let yardstick = median(&of(|figure| figure.yardstick));
                let ratio = format!("{:.2}", value / yardstick);
                (format!("{yardstick:.digits$}"), ratio)
            });
            // Writing to a string does not fail.
            writeln!(
                text,
                "| {} | {value:.digits$} | {yardstick} | {ratio} | {least:.digits$} to {most:.digits$} |",
                figure.line
            )
            .ok();
        }
        text
    }

    /// All numbers, for programs.
    pub(crate) fn json(&self) -> Value {
        let figures = self.0.iter();
        let figures = figures.map(|figure| {
            json!({ "line": figure.line, "value": figure.value, "yardstick": figure.yardstick })
        });
        figures.collect()
    }
}

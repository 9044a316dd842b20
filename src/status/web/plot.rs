//! Plots as inline SVG: what is drawn is said too, to a mouse and to a screen reader.

use std::fmt::Write;

use crate::{
    records::Outcome,
    status::{document::Point, spoken, words},
};

/// A kind of bar: its class, and what it stands for.
type Kind = (&'static str, fn(Outcome) -> bool);
const KINDS: [Kind; 3] = [
    ("g", |outcome| matches!(outcome, Outcome::Succeeded)),
    ("r", |outcome| matches!(outcome, Outcome::Failed | Outcome::TimedOut)),
    ("n", |outcome| !outcome.is_counted()),
];

/// The last builds of a branch in a line of bars, the newest on the right: height is duration, red hangs below.
pub fn small(points: &[Point]) -> String {
    let longest = scale(points);
    let mut paths = [const { String::new() }; KINDS.len()];
    for (at, point) in points.iter().enumerate() {
        let x = at * 4 + 2;
        let height = height(point.seconds, longest, 13.0);
        for ((_, is_of_kind), path) in KINDS.iter().zip(&mut paths) {
            if is_of_kind(point.outcome) {
                // What failed reaches below the line: it is told apart without its colour.
                let foot = if matches!(point.outcome, Outcome::Failed | Outcome::TimedOut) { 19 } else { 15 };
                let _ = write!(path, "M{x} {foot}V{:.0}", 15.0 - height);
            }
        }
    }
    let failed =
        points.iter().filter(|point| matches!(point.outcome, Outcome::Failed | Outcome::TimedOut)).count();
    let title = format!("{}, {failed} failed", words::count(points.len(), "build", "builds"));
    let mut drawn = String::new();
    for ((class, _), path) in KINDS.iter().zip(&paths).filter(|(_, path)| !path.is_empty()) {
        let _ = write!(drawn, "<path class=\"{class}\" d=\"{path}\"/>");
    }
    let width = points.len() * 4;
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {width} 20\" width=\"{width}\" height=\"20\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>{drawn}</svg>"
    )
}

/// A branch's history: a bar for each build, which leads to it.
pub fn large(points: &[Point]) -> String {
    const WIDTH: usize = 960;
    let longest = scale(points);
    let step = (WIDTH - 60) / points.len().max(1);
    let step = step.clamp(4, 28);
    let mut bars = String::new();
    for (at, point) in points.iter().enumerate() {
        let height = height(point.seconds, longest, 140.0).max(3.0);
        let (class, _) = KINDS.iter().find(|(_, is_of_kind)| is_of_kind(point.outcome)).unwrap_or(&KINDS[2]);
        let (x, y, width) = (56 + at * step, 160.0 - height, step - step / 4);
        let said = format!(
            "{} in {}, {}",
            words::outcome(point.outcome),
            spoken::seconds(point.seconds),
            point.finished.strftime("%Y-%m-%d %H:%M UTC")
        );
        let mark = if *class == "r" {
            format!("<rect class=\"r\" x=\"{x}\" y=\"164\" width=\"{width}\" height=\"5\"/>")
        } else {
            String::new()
        };
        let _ = write!(
            bars,
            "<a href=\"/builds/{}\" aria-label=\"{said}\"><title>{said}</title><rect class=\"hit\" x=\"{x}\" y=\"10\" width=\"{step}\" height=\"160\"/>\
             <rect class=\"{class}\" x=\"{x}\" y=\"{y:.1}\" width=\"{width}\" height=\"{height:.1}\"/>{mark}</a>",
            point.build
        );
    }
    let lines: String = [0.0, 0.5, 1.0]
        .map(|part| {
            let y = 160.0 - part * 140.0;
            format!("<line x1=\"52\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"46\" y=\"{:.1}\">{}</text>", y + 4.0, if part > 0.0 { spoken::seconds(longest * part) } else { "0".to_string() })
        })
        .concat();
    format!(
        "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} 172\" role=\"group\" aria-label=\"How long each build took, the oldest on the left\">{lines}{bars}</svg>"
    )
}

fn height(seconds: f64, longest: f64, most: f64) -> f64 {
    (seconds / longest * most).clamp(1.0, most)
}

/// What fills the height: the longest, unless it is far from all others, as one is that ran into its limit.
fn scale(points: &[Point]) -> f64 {
    let mut seconds: Vec<f64> =
        points.iter().map(|point| point.seconds).filter(|seconds| *seconds >= 1.0).collect();
    seconds.sort_by(f64::total_cmp);
    let middle = seconds.get(seconds.len() / 2).copied().unwrap_or(1.0);
    seconds.last().copied().unwrap_or(1.0).min(middle * 2.5)
}

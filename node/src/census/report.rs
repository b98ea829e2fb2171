//! `census report`: a picture of what the book holds, SVG or PNG by the file's ending.
//!
//! | panel | what |
//! |---|---|
//! | how long sessions last | Kaplan and Meier's estimate over all sessions that were seen to begin in that time, the Weibull distribution that fits them best, and for comparison the distribution of those alone that have ended |
//! | who comes and goes | sessions that began and ended in each hour |
//! | who is there | superpeers and children by walk |
//! | classes | superpeers by what they did within 24 h, at the end of each hour |
//! | size | superpeers by three methods |
//!
//! The font is part of the program, so that pictures are alike everywhere. *Not here*: the sums (`survival`,
//! `figures`, `estimate`).

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use callbook_host::metrics::observer::CLASSES;
use callbook_overlay::time::Unix;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use serde::Serialize;

use super::book::{SessionRow, WalkRow};
use super::export::book;
use super::figures::{by_peer, class, lengths};
use super::sessions::{Reason, State};
use super::since;
use super::survival::{Survival, Weibull};
use crate::cli::output::{Printer, duration, fields};
use crate::clock;
use crate::config::Config;
use crate::exit::Code;
use crate::problem::{Outcome, Problem};

/// Width and height of a picture. A guess: two panels side by side on most screens.
const SIZE: (u32, u32) = (1_400, 1_350);
const FONT: &str = "sans-serif";
const COLOURS: [RGBColor; 6] = [
    RGBColor(20, 90, 160),
    RGBColor(210, 120, 20),
    RGBColor(170, 30, 60),
    RGBColor(40, 130, 70),
    RGBColor(120, 70, 150),
    RGBColor(120, 120, 120),
];

/// Points of a line of time. A guess: more than a panel has pixels for.
const HOURS_MAX: u64 = 720;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A line: from left to right.
type Line = Vec<(f64, f64)>;

/// What was drawn, in numbers.
#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    /// Sessions whose beginning was seen, and those of them that have ended.
    sessions: usize,
    ended: usize,
    walks: usize,
    median_secs: Option<f64>,
    weibull_shape: Option<f64>,
    weibull_scale_secs: Option<f64>,
}

/// Draws it and says what it found.
///
/// # Errors
/// The user: there is no book, or the picture can't be written.
pub(super) async fn run(config: &Config, out: &Path, within: Duration, printer: Printer) -> Outcome<u8> {
    let from = since(clock::wall(), within);
    let book = book(config).await?;
    let (rows, walks) = (book.sessions(from).await?, book.walks(from).await?);
    book.close().await;
    if rows.is_empty() || walks.is_empty() {
        return Err(Problem::new(Code::Failed, "nothing was seen in that time")
            .hint("let a census run for a while: callbook census; or look further back with --within"));
    }
    let curves = Curves::of(&rows, &walks, from);
    draw(&curves, out).map_err(|error| {
        Problem::new(Code::FolderUnwritable, format!("can't draw {}: {error}", out.display()))
            .hint("name a file in a folder that is there, with --out FILE.svg or --out FILE.png")
    })?;
    let all = lengths(&rows, from);
    let report = Report {
        file: out.to_owned(),
        sessions: all.len(),
        ended: all.iter().filter(|(_, ended)| *ended).count(),
        walks: walks.len(),
        median_secs: curves.survival.median(),
        weibull_shape: curves.weibull.map(|fit| fit.shape),
        weibull_scale_secs: curves.weibull.map(|fit| fit.scale),
    };
    printer.result(&report, text);
    Ok(0)
}

fn text(report: &Report) -> String {
    let secs = |secs: f64| duration(secs as u64);
    let unknown = || "not known yet: too few sessions have ended".to_owned();
    let fit = report.weibull_shape.zip(report.weibull_scale_secs);
    fields(&[
        ("picture", report.file.display().to_string()),
        ("walks", report.walks.to_string()),
        ("sessions", format!("{} seen to begin, {} of them ended", report.sessions, report.ended)),
        ("median length", report.median_secs.map_or_else(unknown, secs)),
        (
            "Weibull",
            fit.map_or_else(unknown, |(shape, scale)| format!("shape {shape:.2}, scale {}", secs(scale))),
        ),
    ])
}

/// Everything that is drawn.
#[derive(Debug, Default)]
struct Curves {
    survival: Survival,
    weibull: Option<Weibull>,
    ended: Line,
    came: Line,
    went: Line,
    superpeers: Line,
    children: Line,
    classes: [Line; CLASSES.len()],
    sizes: [Line; 3],
}

impl Curves {
    fn of(rows: &[SessionRow], walks: &[WalkRow], from: Unix) -> Self {
        let all = lengths(rows, from);
        let only: Vec<_> = all.iter().copied().filter(|(_, ended)| *ended).collect();
        let ended = Survival::of(&only).steps.into_iter().map(|(at, share)| (at, 1.0 - share)).collect();
        let (Some(first), Some(last)) = (walks.first(), walks.last()) else { return Self::default() };
        let end = last.ended;
        let hours = |at: Unix| -(end.since(at).as_secs_f64() / 3_600.0);
        let by_walk =
            |value: fn(&WalkRow) -> f64| walks.iter().map(|walk| (hours(walk.ended), value(walk))).collect();
        let mut curves = Self {
            survival: Survival::of(&all),
            weibull: Weibull::of(&all),
            ended,
            superpeers: by_walk(|walk| walk.reached as f64),
            children: by_walk(|walk| walk.children as f64),
            sizes: [
                by_walk(|walk| walk.reached as f64),
                by_walk(|walk| walk.density.mean),
                by_walk(|walk| walk.recapture.mean),
            ],
            ..Self::default()
        };
        curves.by_hour(rows, first.ended, end);
        curves
    }

    /// What is counted by the hour, the last one first.
    fn by_hour(&mut self, rows: &[SessionRow], first: Unix, end: Unix) {
        let of = by_peer(rows);
        let count = (end.since(first).as_secs() / HOUR.as_secs() + 1).min(HOURS_MAX);
        for ago in (0..count).rev() {
            let until = since(end, HOUR * u32::try_from(ago).unwrap_or(u32::MAX));
            let within = |at: Unix| at <= until && at > since(until, HOUR);
            let sessions = || of.values().flatten();
            let came = sessions().filter(|session| session.begun && within(session.first)).count();
            let left = sessions().filter(|session| {
                matches!(session.state, State::Closed(reason) if reason != Reason::Unobserved)
                    && session.closed.is_some_and(within)
            });
            let x = -(ago as f64);
            self.came.push((x, came as f64));
            self.went.push((x, -(left.count() as f64)));
            let mut classes = [0_u64; CLASSES.len()];
            for sessions in of.values() {
                // As it stood then: what came later is not known yet.
                let mut then: Vec<_> =
                    sessions.iter().filter(|session| session.first <= until).copied().collect();
                if let Some(last) = then.last_mut()
                    && last.closed.is_some_and(|closed| closed > until)
                {
                    (last.state, last.closed) = (State::Open, None);
                }
                if !then.is_empty() {
                    classes[class(&then, until)] += 1;
                }
            }
            for (line, count) in self.classes.iter_mut().zip(classes) {
                line.push((x, count as f64));
            }
        }
    }
}

type Drawn<T> = Result<T, String>;

fn failed(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn draw(curves: &Curves, file: &Path) -> Drawn<()> {
    plotters::style::register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the program's own font can't be read".to_owned())?;
    if file.extension().is_none_or(|ending| ending != "png") {
        return panels(curves, &SVGBackend::new(file, SIZE).into_drawing_area());
    }
    let mut pixels = vec![0; SIZE.0 as usize * SIZE.1 as usize * 3];
    panels(curves, &BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area())?;
    write_png(&pixels, file).map_err(failed)
}

/// Plotters' own way to a PNG brings old versions of half a dozen crates.
fn write_png(pixels: &[u8], file: &Path) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(file)?), SIZE.0, SIZE.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(pixels)
}

fn panels<B: DrawingBackend>(curves: &Curves, area: &DrawingArea<B, Shift>) -> Drawn<()> {
    area.fill(&WHITE).map_err(failed)?;
    let area = area.margin(10, 0, 0, 0).titled("callbook census", (FONT, 26)).map_err(failed)?;
    let [lasting, ended, flow, there, classes, size] = &area.split_evenly((3, 2))[..] else {
        return Err("six panels are six".to_owned());
    };
    let survival: Line = staircase(&curves.survival.steps, 1.0);
    let fit = curves.weibull.map(|fit| fitted(fit, &survival)).unwrap_or_default();
    let title = "share of sessions that lasts longer, by seconds";
    lengths_panel(lasting, title, &[("Kaplan and Meier", survival), ("Weibull", fit)])?;
    let of_ended = [("leans to short ones", staircase(&curves.ended, 0.0))];
    lengths_panel(ended, "share of the ended ones up to a length, by seconds", &of_ended)?;
    let came = [("arrivals", curves.came.clone()), ("departures", curves.went.clone())];
    over_time(flow, "superpeers that came and went, by hour", &came)?;
    let online = [("superpeers", curves.superpeers.clone()), ("children told of", curves.children.clone())];
    over_time(there, "who is there, by hour", &online)?;
    let named: Vec<(&str, Line)> = CLASSES.into_iter().zip(curves.classes.clone()).collect();
    over_time(classes, "classes over 24 h, by hour", &named)?;
    let methods = ["counted", "density", "recapture"];
    let named: Vec<(&str, Line)> = methods.into_iter().zip(curves.sizes.clone()).collect();
    over_time(size, "number of superpeers three ways, by hour", &named)?;
    area.present().map_err(failed)
}

/// The corners of a staircase that starts at `from`.
fn staircase(steps: &[(f64, f64)], from: f64) -> Line {
    let mut line = Vec::with_capacity(2 * steps.len());
    let mut level = from;
    for (at, share) in steps {
        line.push((at.max(1.0), level));
        line.push((at.max(1.0), *share));
        level = *share;
    }
    line
}

/// A distribution over the lengths that were seen.
fn fitted(fit: Weibull, seen: &Line) -> Line {
    let (least, most) = bounds(seen.iter().map(|(x, _)| *x));
    let (least, most) = (least.max(1.0), most.max(2.0));
    let at = |step: u32| least * (most / least).powf(f64::from(step) / 100.0);
    (0..=100).map(at).map(|length| (length, fit.at(length))).collect()
}

/// The least and the greatest of what is drawn, or a stretch to draw nothing in.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) =
        values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
    if least < most {
        (least, most)
    } else if least == most {
        (least - 0.5, most + 0.5)
    } else {
        (0.0, 1.0)
    }
}

fn lengths_panel<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    all: &[(&str, Line)],
) -> Drawn<()> {
    let (least, most) = bounds(all.iter().flat_map(|(_, line)| line.iter().map(|(x, _)| *x)));
    let range = (least.max(1.0) / 1.2..most.max(2.0) * 1.2).log_scale();
    panel(area, title, (range, 0.0..1.02), all)
}

fn over_time<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    all: &[(&str, Line)],
) -> Drawn<()> {
    let points = || all.iter().flat_map(|(_, line)| line);
    let (first, last) = bounds(points().map(|(x, _)| *x));
    let (least, most) = bounds(points().map(|(_, y)| *y).chain([0.0]));
    panel(area, title, (first..last, least * 1.1..most * 1.1), all)
}

/// Lines over axes of these kinds, with their names beside them; says so if there is nothing to draw.
fn panel<B, X, Y>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    (x, y): (X, Y),
    all: &[(&str, Line)],
) -> Drawn<()>
where
    B: DrawingBackend,
    X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
{
    let empty = all.iter().all(|(_, line)| line.is_empty());
    let title = if empty { format!("{title}: none yet") } else { title.to_owned() };
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 18))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(66)
        .build_cartesian_2d(x, y)
        .map_err(failed)?;
    let mut mesh = chart.configure_mesh();
    let (across, up) = (|x: &f64| short(*x), |y: &f64| short(*y));
    mesh.light_line_style(TRANSPARENT)
        .label_style((FONT, 14))
        .x_label_formatter(&across)
        .y_label_formatter(&up);
    mesh.draw().map_err(failed)?;
    for ((word, line), colour) in all.iter().zip(COLOURS.iter().cycle()) {
        let drawn = chart.draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)));
        let sample = |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2));
        drawn.map_err(failed)?.label(*word).legend(sample);
        if let [(x, y)] = line[..] {
            // A line of one point would not be seen.
            chart.draw_series([Circle::new((x, y), 3, colour.filled())]).map_err(failed)?;
        }
    }
    if !empty {
        let mut legend = chart.configure_series_labels();
        legend.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).label_font((FONT, 14));
        legend.draw().map_err(failed)?;
    }
    Ok(())
}

/// A number on an axis.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.3} M", value / 1e6).replace(".000", ""),
        size if size >= 1e4 => format!("{:.0} k", value / 1e3),
        size if size >= 100.0 || size == size.trunc() => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use callbook_overlay::key::PeerId;

    use super::super::estimate::Size;
    use super::super::sessions::visited;
    use super::super::walk::Failure;
    use super::*;

    /// A day of a census: one superpeer that stays, one that comes and goes every three hours.
    fn day() -> (Vec<SessionRow>, Vec<WalkRow>) {
        let at = |quarter: u64| Unix::from_secs(10_000_000 + quarter * 900);
        let (mut rows, mut walks) = (Vec::<SessionRow>::new(), Vec::new());
        for number in [1, 2] {
            let peer = PeerId::from_bytes([number; 32]);
            let mut all: Vec<super::super::sessions::Session> = Vec::new();
            for quarter in 0..=96 {
                let there = number == 1 || (quarter / 12) % 2 == 1;
                let result = if there { Ok(()) } else { Err(Failure::Refused) };
                let outcome = visited(all.last(), result, at(quarter), quarter > 0);
                if let (Some(changed), Some(last)) = (outcome.last, all.last_mut()) {
                    *last = changed;
                }
                all.extend(outcome.begun);
            }
            rows.extend(all.into_iter().map(|session| SessionRow { peer, agent: String::new(), session }));
        }
        for quarter in 0..=96 {
            let size = Size { mean: 2.0, deviation: 0.1 };
            let (began, ended) = (at(quarter), at(quarter));
            walks.push(WalkRow {
                began,
                ended,
                complete: true,
                reached: 1,
                unreached: 1,
                telling: 1,
                children: 5,
                density: size,
                recapture: size,
            });
        }
        (rows, walks)
    }

    #[test]
    fn the_lines_are_what_happened() {
        // Goal: arrivals, departures and classes by hour. Method: a day of which they are known: the second
        // superpeer comes at 3, 9, 15 and 21 o'clock and is missed at 6, 12 and 18, an hour's quarter later
        // for sure.
        let (rows, walks) = day();
        let curves = Curves::of(&rows, &walks, Unix::from_secs(0));
        let sum = |line: &Line| line.iter().map(|(_, y)| *y).sum::<f64>();
        assert_eq!((sum(&curves.came), sum(&curves.went)), (4.0, -3.0));
        assert_eq!(curves.came.len(), 25);
        for hour in 0..25 {
            let all: f64 = curves.classes.iter().map(|line| line[hour].1).sum();
            assert_eq!(all, if hour < 3 { 1.0 } else { 2.0 }, "hour {hour}");
        }
        let of = |word: &str| &curves.classes[CLASSES.iter().position(|class| *class == word).unwrap()];
        assert_eq!((of("entered")[3].1, of("oneoff")[7].1, of("dangling")[12].1), (1.0, 1.0, 1.0));
        assert_eq!(curves.survival.median(), Some(3.0 * 3_600.0 - 900.0));
    }

    #[test]
    fn a_report_is_drawn_in_both_forms_and_of_little_too() {
        // Goal: no picture fails for want of numbers. Method: nothing, a first walk, and a day.
        let folder = tempfile::tempdir().unwrap();
        let (rows, walks) = day();
        let all = [
            Curves::default(),
            Curves::of(&rows[..1], &walks[..1], Unix::from_secs(0)),
            Curves::of(&rows, &walks, Unix::from_secs(0)),
        ];
        for (number, curves) in all.iter().enumerate() {
            for ending in ["svg", "png"] {
                let file = folder.path().join(format!("{number}.{ending}"));
                draw(curves, &file).unwrap();
                assert!(std::fs::metadata(&file).unwrap().len() > 5_000, "{}", file.display());
            }
        }
    }
}

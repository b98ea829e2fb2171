//! A run as a picture: six panels, SVG or PNG by the file's ending.
//!
//! Success and latency over time, hops, bytes per peer, sessions put in and measured out, load over
//! superpeers. The font is part of the program, so that pictures are alike everywhere. *Not here*: what is
//! drawn (`curves`).

use std::fmt;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::Outcome;
use super::curves::{Curves, Line};

/// Width and height of a picture. *Guess*: two panels side by side on most screens.
const SIZE: (u32, u32) = (1_400, 1_350);
const FONT: &str = "sans-serif";
const COLOURS: [RGBColor; 3] = [RGBColor(20, 90, 160), RGBColor(210, 120, 20), RGBColor(170, 30, 60)];

/// A picture could not be made: the user's fault, or the disk's.
#[derive(Debug)]
pub struct PlotError(String);

impl fmt::Display for PlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PlotError {}

fn failed(error: impl fmt::Display) -> PlotError {
    PlotError(error.to_string())
}

/// Which file of a folder a run's picture is.
#[must_use]
pub fn file_of(outcome: &Outcome, folder: &Path, ending: &str) -> PathBuf {
    folder.join(format!("{}-{}-seed-{}.{ending}", outcome.row, outcome.peers, outcome.seed))
}

/// Draws a run into a file, which is made or replaced.
///
/// # Errors
/// The folder is not there or can't be written.
pub fn draw(outcome: &Outcome, file: &Path) -> Result<(), PlotError> {
    plotters::style::register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| PlotError(String::from("the program's own font can't be read")))?;
    if file.extension().is_none_or(|ending| ending != "png") {
        return panels(outcome, &SVGBackend::new(file, SIZE).into_drawing_area());
    }
    let mut pixels = vec![0; SIZE.0 as usize * SIZE.1 as usize * 3];
    panels(outcome, &BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area())?;
    write_png(&pixels, file).map_err(failed)
}

/// Plotters' own way to a PNG brings old versions of half a dozen crates.
fn write_png(pixels: &[u8], file: &Path) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(file)?), SIZE.0, SIZE.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(pixels)
}

fn panels<B: DrawingBackend>(outcome: &Outcome, area: &DrawingArea<B, Shift>) -> Result<(), PlotError> {
    area.fill(&WHITE).map_err(failed)?;
    let title = format!("{}: {} ({} peers, seed {})", outcome.row, outcome.what, outcome.peers, outcome.seed);
    let area = area.margin(10, 0, 0, 0).titled(&title, (FONT, 26)).map_err(failed)?;
    let curves = &outcome.curves;
    let [success, latency, hops, sent, sessions, load] = &area.split_evenly((3, 2))[..] else {
        return Err(PlotError(String::from("six panels are six")));
    };
    over_time(success, "right at first, % of look-ups by minute", &percent(&curves.success), curves)?;
    latencies(latency, curves)?;
    bars(hops, &curves.hops)?;
    let kinds = [("superpeers", &curves.sent[0]), ("children", &curves.sent[1])];
    shares(sent, "bytes a second sent by a peer: share that sends no more", &kinds)?;
    both_sessions(sessions, curves)?;
    let loads = ["children", "requests", "bytes sent"];
    let loads: Vec<(&str, &Vec<f32>)> = loads.into_iter().zip(&curves.load).collect();
    ranks(load, "load of superpeers over the mean, from the least to the most", &loads)?;
    area.present().map_err(failed)
}

fn percent(line: &Line) -> Line {
    line.iter().map(|(x, share)| (*x, 100.0 * share)).collect()
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

/// A panel whose axes come from these ranges.
type Panel<'a, B, X, Y> = ChartContext<
    'a,
    B,
    Cartesian2d<<X as AsRangedCoord>::CoordDescType, <Y as AsRangedCoord>::CoordDescType>,
>;

/// A panel with axes of these kinds; says so if there is nothing to draw.
fn axes<'a, B, X, Y>(
    area: &'a DrawingArea<B, Shift>,
    title: &str,
    (x, y): (X, Y),
    empty: bool,
) -> Result<Panel<'a, B, X, Y>, PlotError>
where
    B: DrawingBackend,
    X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
{
    let title = if empty { format!("{title}: none") } else { title.to_owned() };
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 18))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(66)
        .build_cartesian_2d(x, y)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .label_style((FONT, 14))
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .draw()
        .map_err(failed)?;
    Ok(chart)
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

type Lines<'a> = [(&'a str, Line)];

/// Lines with their names beside them.
fn lines<'a, B, X, Y>(
    mut chart: ChartContext<'a, B, Cartesian2d<X, Y>>,
    all: &Lines<'_>,
) -> Result<(), PlotError>
where
    B: DrawingBackend + 'a,
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    for ((word, line), colour) in all.iter().zip(COLOURS.iter().cycle()) {
        let drawn = chart.draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)));
        let drawn = drawn.map_err(failed)?;
        if !word.is_empty() {
            let sample = |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2));
            drawn.label(*word).legend(sample);
        }
        if let [(x, y)] = line[..] {
            // A line of one point would not be seen.
            let dot = [Circle::new((x, y), 3, colour.filled())];
            chart.draw_series(dot).map_err(failed)?;
        }
    }
    if all.iter().any(|(word, line)| !word.is_empty() && !line.is_empty()) {
        let mut legend = chart.configure_series_labels();
        legend.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).label_font((FONT, 14));
        legend.draw().map_err(failed)?;
    }
    Ok(())
}

fn over_time<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    line: &Line,
    curves: &Curves,
) -> Result<(), PlotError> {
    let (first, last) = bounds(line.iter().map(|(x, _)| *x));
    let (least, _) = bounds(line.iter().map(|(_, y)| *y));
    let least = if line.is_empty() { 0.0 } else { (least - 0.5).clamp(0.0, 99.0) };
    let chart = axes(area, title, (first..last, least..100.0 + (100.0 - least) / 20.0), line.is_empty())?;
    let from = curves.measured_from.clamp(first, last);
    let mark = vec![(from, least), (from, 100.0)];
    lines(chart, &[("", line.clone()), ("measured from here", mark)])
}

fn latencies<B: DrawingBackend>(area: &DrawingArea<B, Shift>, curves: &Curves) -> Result<(), PlotError> {
    let all = || curves.latency.iter().flatten();
    let (first, last) = bounds(all().map(|(x, _)| *x));
    let (least, most) = bounds(all().map(|(_, y)| *y));
    let (least, most) = (least.max(0.1) / 1.3, most.max(1.0) * 1.3);
    let empty = curves.latency[0].is_empty();
    let chart = axes(
        area,
        "milliseconds to a right answer, by minute",
        (first..last, (least..most).log_scale()),
        empty,
    )?;
    let named: Vec<(&str, Line)> = ["p50", "p90", "p99"].into_iter().zip(curves.latency.clone()).collect();
    lines(chart, &named)
}

fn bars<B: DrawingBackend>(area: &DrawingArea<B, Shift>, hops: &[u64; 8]) -> Result<(), PlotError> {
    let all: u64 = hops.iter().sum();
    let share = |count: u64| 100.0 * count as f64 / all.max(1) as f64;
    let most = hops.iter().map(|count| share(*count)).fold(1.0, f64::max);
    let title = "hops of answers from the overlay, % (7: and more)";
    let mut chart = axes(area, title, (-0.5..7.5, 0.0..most * 1.05), all == 0)?;
    let columns = hops.iter().enumerate().map(|(hops, count)| {
        let middle = hops as f64;
        Rectangle::new([(middle - 0.35, 0.0), (middle + 0.35, share(*count))], COLOURS[0].filled())
    });
    chart.draw_series(columns).map_err(failed)?;
    Ok(())
}

/// Points of a distribution, not more than a screen can show.
fn thinned(values: &[f32]) -> Vec<(f64, f64)> {
    let every = (values.len() / 500).max(1);
    let last = values.len().saturating_sub(1);
    let kept = values.iter().enumerate().filter(|(index, _)| index % every == 0 || *index == last);
    kept.map(|(index, value)| (f64::from(*value), (index + 1) as f64 / values.len() as f64)).collect()
}

/// Distributions over a logarithmic axis.
fn shares<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    all: &[(&str, &Vec<f32>)],
) -> Result<(), PlotError> {
    let named: Vec<(&str, Line)> =
        all.iter().map(|(word, values)| (*word, positive(thinned(values)))).collect();
    distribution(area, title, &named)
}

/// What a logarithmic axis can show.
fn positive(line: Line) -> Line {
    line.into_iter().map(|(x, share)| (x.max(0.1), share)).collect()
}

fn distribution<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    named: &Lines<'_>,
) -> Result<(), PlotError> {
    let (least, most) = bounds(named.iter().flat_map(|(_, line)| line.iter().map(|(x, _)| *x)));
    let range = (least.max(0.1) / 1.2..most.max(1.0) * 1.2).log_scale();
    let empty = named.iter().all(|(_, line)| line.is_empty());
    lines(axes(area, title, (range, 0.0..1.02), empty)?, named)
}

fn both_sessions<B: DrawingBackend>(area: &DrawingArea<B, Shift>, curves: &Curves) -> Result<(), PlotError> {
    let named = [
        ("put in", positive(curves.sessions_put_in.clone())),
        ("measured", positive(curves.sessions_measured.clone())),
    ];
    distribution(area, "seconds of a session: share that is no longer", &named)
}

fn ranks<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    all: &[(&str, &Vec<f32>)],
) -> Result<(), PlotError> {
    let named: Vec<(&str, Line)> = all
        .iter()
        .map(|(word, values)| {
            (*word, thinned(values).into_iter().map(|(value, share)| (100.0 * share, value)).collect())
        })
        .collect();
    let most = named.iter().flat_map(|(_, line): &(&str, Line)| line).map(|(_, y)| *y).fold(1.0, f64::max);
    let empty = named.iter().all(|(_, line)| line.is_empty());
    lines(axes(area, title, (0.0..100.0, 0.0..most * 1.05), empty)?, &named)
}

#[cfg(test)]
mod tests {
    use super::{draw, file_of};
    use crate::report::Outcome;
    use crate::report::curves::Curves;

    fn outcome(curves: Curves) -> Outcome {
        Outcome {
            row: "B",
            what: "a run",
            seed: 1,
            peers: 10,
            figures: Vec::new(),
            remarks: Vec::new(),
            curves,
            trace: 0,
        }
    }

    /// Goal: every run can be drawn, also one of which there is nothing to draw. Method: an empty one and a
    /// full one in both forms, into a folder of the test's own.
    #[test]
    fn a_run_is_drawn_in_both_forms() {
        let folder = std::env::temp_dir().join(format!("callbook-sim-plots-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        let line = vec![(1.0, 0.9), (2.0, 1.0)];
        let full = Curves {
            success: line.clone(),
            latency: [line.clone(), line.clone(), line.clone()],
            hops: [1, 2, 3, 0, 0, 0, 0, 0],
            sent: [vec![1.0, 2.0], vec![3.0]],
            sessions_put_in: line.clone(),
            sessions_measured: line,
            load: [vec![1.0], vec![0.5, 1.5], Vec::new()],
            measured_from: 1.0,
        };
        for (outcome, ending) in
            [(outcome(Curves::default()), "svg"), (outcome(full.clone()), "svg"), (outcome(full), "png")]
        {
            let file = file_of(&outcome, &folder, ending);
            draw(&outcome, &file).expect("a picture");
            let bytes = std::fs::read(&file).expect("it is there");
            assert!(bytes.len() > 5_000, "{} has {} bytes", file.display(), bytes.len());
        }
        std::fs::remove_dir_all(&folder).expect("our own folder");
    }
}

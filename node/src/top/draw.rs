//! The screen as text and bars: a line of who, a line of views, the view, a line of keys.
//!
//! It has to be of use at 80 × 24 and at 40 × 12: figures stand in order of what they tell, charts share what
//! height there is, and what does not fit is scrolled to. Without colour nothing is lost: what has a colour is also
//! named. *Not here*: what a key does (`screen`), what is charted (`charts`).

use callbook_overlay::time::Unix;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table};

use super::charts::{self, Chart};
use super::screen::{Screen, Sight, View};
use crate::cli::output::{duration, plain};
use crate::cli::text;
use crate::clock;
use crate::view::{HeldName, Parent, Peer};

/// Below this nothing could be read.
const LEAST: (u16, u16) = (20, 6);

/// Rows of a chart with its title that still show a shape.
const CHART_ROWS: u16 = 2;

/// Columns of the figures' labels.
const LABELS: usize = 12;

/// Columns from which on a table has all of its own.
const WIDE: u16 = 70;

/// A bar's upper end, by eighths of a row.
const EIGHTHS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

const HELP: [&str; 8] = [
    "q, Esc      leave",
    "Tab, → ←    next view, the one before",
    "1 to 5      this view",
    "↑ ↓         scroll by a line",
    "PgUp PgDn   scroll by some",
    "Home End    first line, last line",
    "?           these keys",
    "Charts: the last hour, now at the right",
];

/// Draws everything.
pub(super) fn all(frame: &mut Frame<'_>, screen: &mut Screen) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        return frame.render_widget(Paragraph::new("too small"), area);
    }
    let alarms = alarms(screen);
    let lines = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::from(!alarms.is_empty())),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ]);
    let [head, alarm, tabs, body, foot] = lines.areas(area);
    frame.render_widget(Paragraph::new(fitted(&who(&screen.sight), area.width)).style(bold()), head);
    let loud = coloured(screen, Color::Red).add_modifier(Modifier::BOLD);
    frame.render_widget(Paragraph::new(fitted(&alarms, area.width)).style(loud), alarm);
    frame.render_widget(Paragraph::new(views(screen)), tabs);
    if screen.help {
        frame.render_widget(Paragraph::new(HELP.map(Line::from).to_vec()), body);
    } else {
        match screen.view {
            View::Overview => overview(frame, body, screen),
            View::Churn => stacked(frame, body, screen, &charts::churn(&screen.sight.history)),
            View::Lookups => stacked(frame, body, screen, &charts::lookups(&screen.sight.history)),
            View::Peers => peers(frame, body, screen),
            View::Names => names(frame, body, screen),
        }
    }
    frame.render_widget(Paragraph::new("q leave  Tab view  ↑↓ scroll  ? keys").style(dim()), foot);
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// In a colour, unless the reader wants none.
fn coloured(screen: &Screen, colour: Color) -> Style {
    if screen.coloured { Style::new().fg(colour) } else { Style::new() }
}

/// What does not fit ends in an ellipsis: a number that is cut would be another one.
fn fitted(text: &str, width: u16) -> String {
    let width = usize::from(width);
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut fitted = String::new();
    for letter in text.chars() {
        fitted.push(letter);
        if Span::raw(fitted.as_str()).width() >= width {
            fitted.pop();
            break;
        }
    }
    fitted.push('…');
    fitted
}

fn who(sight: &Sight) -> String {
    let status = &sight.status;
    let up = duration(status.uptime_secs);
    format!("callbook: {}, {} | {} | up {up}", status.role, text::state(status), plain(&status.network))
}

/// What somebody should look at.
fn alarms(screen: &Screen) -> String {
    let trouble = screen.trouble.as_ref().map(|problem| problem.message.clone());
    let warnings = screen.sight.status.warnings.iter().cloned();
    trouble.into_iter().chain(warnings).map(|alarm| plain(&alarm)).collect::<Vec<_>>().join("; ")
}

fn views(screen: &Screen) -> Line<'static> {
    let tab = |view: View| {
        let style = if view == screen.view { bold().add_modifier(Modifier::REVERSED) } else { Style::new() };
        [Span::styled(view.title(), style), Span::raw(" ")]
    };
    View::ALL.into_iter().flat_map(tab).collect()
}

/// Figures, and charts below them if there is room.
fn overview(frame: &mut Frame<'_>, area: Rect, screen: &mut Screen) {
    let figures = figures(&screen.sight);
    let charts = charts::overview(&screen.sight.history);
    let rows = u16::try_from(figures.len()).unwrap_or(u16::MAX);
    let room = CHART_ROWS * u16::try_from(charts.len()).unwrap_or(u16::MAX);
    let shown = if area.height >= rows.saturating_add(room) { rows } else { area.height };
    let [above, below] = Layout::vertical([Constraint::Length(shown), Constraint::Min(0)]).areas(area);
    let first = scrolled(screen, figures.len(), above.height);
    let width = above.width.saturating_sub(LABELS as u16);
    let line = |(label, value): &(&'static str, String)| {
        Line::from(vec![Span::styled(format!("{label:LABELS$}"), dim()), Span::raw(fitted(value, width))])
    };
    let lines: Vec<_> = figures.iter().skip(first).map(line).collect();
    frame.render_widget(Paragraph::new(lines), above);
    draw_charts(frame, below, screen, &charts);
}

/// The first line to show, so that none is shown beyond the last.
fn scrolled(screen: &mut Screen, lines: usize, height: u16) -> usize {
    screen.scrolled = screen.scrolled.min(lines.saturating_sub(usize::from(height)));
    screen.scrolled
}

/// What a glance should tell, the most telling first.
fn figures(sight: &Sight) -> Vec<(&'static str, String)> {
    let (status, history) = (&sight.status, &sight.history);
    let [arrivals, departures, flaps] =
        [&history.arrivals, &history.departures, &history.flaps].map(|counts| total(counts));
    let ends = [&history.found, &history.absent, &history.unknown, &history.invalid];
    let [found, absent, unknown, invalid] = ends.map(|counts| total(counts));
    let parent = |parent: &Parent| {
        let measured = parent.round_trip_ms.map_or_else(String::new, |ms| format!(", {ms:.1} ms"));
        format!("{}{measured}", text::short(&parent.peer))
    };
    let mut figures = vec![("role", format!("{}, {}", status.role, text::state(status)))];
    if status.role == "superpeer" {
        figures.push(("children", format!("{} of {} at most", status.children, status.children_max)));
    } else {
        figures.push(("parent", status.parent.as_ref().map_or_else(|| "none".to_owned(), parent)));
        figures.push(("standbys", status.standbys.len().to_string()));
    }
    figures.extend([
        ("superpeers", format!("{} known, {} linked", status.superpeers, status.superpeer_links)),
        ("neighbours", format!("{} linked", sight.peers.iter().filter(|peer| peer.linked).count())),
        ("churn, 1 h", format!("{arrivals} came, {departures} left, {flaps} flaps")),
        ("look-ups", format!("{found} found, {absent} absent, {unknown} unknown, {invalid} unverified")),
        ("latency", latency(sight)),
        ("names", held(sight)),
        ("records", format!("{} kept for others", status.records)),
        ("clock", format!("{:+} s against the neighbours'", status.skew_secs)),
        ("peer", status.peer.clone()),
    ]);
    figures
}

fn total(counts: &[u64]) -> u64 {
    counts.iter().sum()
}

/// Of the last sample in which there was a look-up.
fn latency(sight: &Sight) -> String {
    let newest = |values: &[Option<f64>]| values.iter().rev().copied().flatten().next();
    match newest(&sight.history.p50_ms).zip(newest(&sight.history.p99_ms)) {
        Some((median, most)) => format!("median {median:.1} ms, p99 {most:.1} ms"),
        None => "no look-up of its own in the last hour".to_owned(),
    }
}

/// How many names are held, and which expires first.
fn held(sight: &Sight) -> String {
    let names = &sight.status.names;
    let registered = names.iter().filter(|name| name.registered).count();
    let soonest =
        names.iter().filter_map(|name| Some((name.record_until.as_deref()?, name))).min_by_key(|it| it.0);
    match soonest {
        Some((until, name)) if names.len() == 1 => {
            format!("{}, {}, expires {}", name.name, acknowledged(name), left(until, sight.at))
        }
        Some((until, name)) => {
            format!(
                "{registered} of {} registered; {} expires {}",
                names.len(),
                name.name,
                left(until, sight.at)
            )
        }
        None if names.is_empty() => "none (callbook enrol NAME)".to_owned(),
        None => format!("{registered} of {} registered", names.len()),
    }
}

fn acknowledged(name: &HeldName) -> String {
    match (name.registered, name.stored, name.of) {
        (true, Some(stored), Some(of)) => format!("by {stored} of {of}"),
        (true, _, _) => "yes".to_owned(),
        (false, _, _) => "not yet".to_owned(),
    }
}

/// How long until a time.
fn left(until: &str, now: Unix) -> String {
    match clock::seconds_until(until, now) {
        Some(0) => "now".to_owned(),
        Some(seconds) => format!("in {}", duration(seconds)),
        None => plain(until),
    }
}

/// As many charts as have room, from the one scrolled to.
fn stacked(frame: &mut Frame<'_>, area: Rect, screen: &mut Screen, charts: &[Chart]) {
    let first = scrolled(screen, charts.len(), area.height / CHART_ROWS);
    draw_charts(frame, area, screen, charts.get(first..).unwrap_or_default());
}

/// One below the other, all equally high.
fn draw_charts(frame: &mut Frame<'_>, area: Rect, screen: &Screen, charts: &[Chart]) {
    let count = charts.len().min(usize::from(area.height / CHART_ROWS));
    let areas = Layout::vertical(vec![Constraint::Fill(1); count]).split(area);
    for (chart, area) in charts.iter().zip(areas.iter()) {
        draw_chart(frame, *area, screen, chart);
    }
}

fn draw_chart(frame: &mut Frame<'_>, area: Rect, screen: &Screen, chart: &Chart) {
    let bars = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let columns = chart.columns(&screen.sight.history.at, usize::from(bars.width));
    let most = columns.iter().copied().flatten().fold(0.0, f64::max);
    let title = Rect { height: 1, ..area };
    frame.render_widget(Paragraph::new(fitted(&chart.told(most), area.width)), title);
    let style = coloured(screen, chart.colour);
    for (column, value) in (bars.x..).zip(columns) {
        let Some(value) = value else { continue };
        for row in 0..bars.height {
            let y = bars.bottom() - 1 - row;
            frame.buffer_mut().set_string(column, y, cell(value, most, (row, bars.height)), style);
        }
    }
}

/// The part of a bar that is in a row, counted from below. Nothing is a line at the bottom, what is there at all at
/// least an eighth.
fn cell(value: f64, most: f64, (row, rows): (u16, u16)) -> &'static str {
    if value <= 0.0 || most <= 0.0 {
        return if row == 0 { "_" } else { " " };
    }
    let eighths = (value / most * f64::from(rows) * 8.0).round().max(1.0);
    let here = eighths - f64::from(row) * 8.0;
    if here < 1.0 {
        return " ";
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 8")]
    let index = here.min(8.0) as usize - 1;
    EIGHTHS[index]
}

/// Neighbours and known superpeers.
fn peers(frame: &mut Frame<'_>, area: Rect, screen: &mut Screen) {
    let wide = area.width >= WIDE;
    let row = |peer: &Peer| {
        let measured = peer.round_trip_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
        let linked = if peer.linked { "open" } else { "-" }.to_owned();
        let mut cells = vec![text::short(&peer.peer), peer.relation.clone(), linked, measured];
        if wide {
            cells.extend([plain(&peer.agent), text::all_bare(&peer.addresses)]);
        }
        cells
    };
    let rows: Vec<_> = screen.sight.peers.iter().map(row).collect();
    let heads = ["PEER", "IS", "STREAM", "MS", "AGENT", "ADDRESSES"];
    table(frame, area, screen, (&heads[..if wide { 6 } else { 4 }], rows));
}

/// Names held here, and when their records and certificates expire.
fn names(frame: &mut Frame<'_>, area: Rect, screen: &mut Screen) {
    let wide = area.width >= WIDE;
    let at = screen.sight.at;
    let row = |name: &HeldName| {
        let record = name.record_until.as_deref().map_or_else(|| "-".to_owned(), |until| left(until, at));
        let mut cells = vec![name.name.clone(), acknowledged(name), record];
        if wide {
            cells.push(left(&name.certificate_until, at));
        }
        cells
    };
    let rows: Vec<_> = screen.sight.status.names.iter().map(row).collect();
    if rows.is_empty() {
        let none = "no names: callbook enrol NAME creates an account";
        return frame.render_widget(Paragraph::new(fitted(none, area.width)), area);
    }
    let heads = ["NAME", "STORED", "EXPIRES", "CERTIFICATE EXPIRES"];
    table(frame, area, screen, (&heads[..if wide { 4 } else { 3 }], rows));
}

/// Rows under heads, each column as wide as its widest cell.
fn table(
    frame: &mut Frame<'_>,
    area: Rect,
    screen: &mut Screen,
    (heads, rows): (&[&'static str], Vec<Vec<String>>),
) {
    let first = scrolled(screen, rows.len(), area.height.saturating_sub(1));
    let width = |column: usize| {
        let cells = rows.iter().map(|row| Span::raw(row[column].as_str()).width());
        let most = cells.chain([heads[column].len()]).max().unwrap_or_default();
        Constraint::Length(u16::try_from(most).unwrap_or(u16::MAX))
    };
    let widths: Vec<_> = (0..heads.len()).map(width).collect();
    let shown = rows.into_iter().skip(first).map(Row::new);
    let table = Table::new(shown, widths).header(Row::new(heads.to_vec()).style(bold())).column_spacing(2);
    frame.render_widget(table, area);
}

#[cfg(test)]
pub(super) mod tests;

//! Plots as SVG that takes its colours from the page, so that one picture serves light and dark.

use std::error::Error;

use plotters::{
    coord::{
        Shift,
        ranged1d::{AsRangedCoord, Ranged, ValueFormatter},
    },
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::versus::rows::show;

/// Size in the picture's own units; the page scales it.
const SIZE: (u32, u32) = (520, 320);
/// Text stays readable when the page is 400 px wide.
const TEXT: i32 = 16;

/// Stand-ins for the page's colours; [`themed`] puts those in.
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const SERIES: [RGBColor; 4] = [RGBColor(3, 3, 0), RGBColor(3, 3, 1), RGBColor(3, 3, 2), RGBColor(3, 3, 3)];
const THEME: [(&str, &str); 6] = [
    ("#010101", "currentColor"),
    ("#020202", "var(--grid)"),
    ("#030300", "var(--s0)"),
    ("#030301", "var(--s1)"),
    ("#030302", "var(--s2)"),
    ("#030303", "var(--alarm)"),
];

/// The colour for what went wrong; proxies have 0 to 2.
pub(super) const ALARM: usize = 3;

type Drawn = Result<(), Box<dyn Error>>;

/// Points of one colour.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) colour: usize,
    pub(super) points: Vec<(f64, f64)>,
}

/// An axis: what it shows and in which unit.
#[derive(Clone, Copy)]
pub(super) struct Axis<'a> {
    pub(super) title: &'a str,
    pub(super) show: &'a dyn Fn(f64) -> String,
}

/// The number at a tick of an axis: those are round.
pub(super) fn tick(value: f64) -> String {
    if value.fract().abs() < 1e-9 {
        show(value.trunc()).trim_end_matches(".00").trim_end_matches(".0").to_owned()
    } else {
        format!("{value}")
    }
}

fn colour(index: usize) -> RGBColor {
    SERIES[index % SERIES.len()]
}

/// Lines over evenly divided axes; both begin at 0.
pub(super) fn lines(lines: &[Line], x: Axis<'_>, y: Axis<'_>) -> String {
    let largest = |of: fn(&(f64, f64)) -> f64| lines.iter().flat_map(|line| &line.points).map(of).fold(0.0, f64::max);
    let (width, height) = (0.0..above(largest(|p| p.0)), 0.0..above(largest(|p| p.1) * 1.05));
    picture(SIZE, |area| chart(area, lines, width, height, x, y, true))
}

/// Lines over percentiles, stretched towards 100 so that the rare and slow are seen; times on a logarithmic scale.
/// Points are `(percentile, time)`.
pub(super) fn percentiles(lines: &[Line], x: Axis<'_>, y: Axis<'_>) -> String {
    let times = || lines.iter().flat_map(|line| &line.points).map(|point| point.1).filter(|time| *time > 0.0);
    let low = 10f64.powf(times().fold(f64::INFINITY, f64::min).max(1.0).log10().floor());
    let high = 10f64.powf(times().fold(low * 10.0, f64::max).log10().ceil());
    let stretched = lines.iter().map(|line| {
        let points = line.points.iter().filter(|point| point.1 > 0.0);
        Line { colour: line.colour, points: points.map(|&(percentile, time)| (nines(percentile), time)).collect() }
    });
    let stretched: Vec<_> = stretched.collect();
    picture(SIZE, |area| chart(area, &stretched, 0.0..MOST_NINES, (low..high).log_scale(), x, y, false))
}

/// The right end of [`nines`]: 99.99%.
const MOST_NINES: f64 = 4.0;

/// 0 for 0%, 1 for 90%, 2 for 99% and so on.
fn nines(percentile: f64) -> f64 {
    let rest = (1.0 - percentile / 100.0).max(10f64.powf(-MOST_NINES));
    -rest.log10()
}

/// The other way round, as text.
pub(super) fn show_nines(nines: f64) -> String {
    let percentile = 100.0 * (1.0 - 10f64.powf(-nines));
    format!("{}%", (percentile * 1e4).round() / 1e4)
}

/// Bars in groups: per group, its name and `(colour, height)` of each bar. Heights are percent.
pub(super) fn shares(groups: &[(String, Vec<(usize, f64)>)], x: &str, y: &str) -> String {
    let range = -0.5..whole(groups.len().max(1)) - 0.5;
    // Only the middles of groups are named.
    let name = |place: f64| {
        let found = groups.iter().enumerate().find(|(index, _)| (whole(*index) - place).abs() < 0.1);
        found.map(|(_, group)| group.0.clone()).unwrap_or_default()
    };
    let percent = |value: f64| format!("{value:.0}");
    picture(SIZE, |area| {
        let mut chart = ChartBuilder::on(area);
        chart.margin(10).x_label_area_size(48).y_label_area_size(66);
        let mut chart = chart.build_cartesian_2d(range, 0.0..105.0f64)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .x_labels(groups.len() + 1)
            .x_label_formatter(&|place| name(*place))
            .y_label_formatter(&|value| percent(*value))
            .y_labels(6)
            .x_desc(x)
            .y_desc(y)
            .label_style(("sans-serif", TEXT, &INK))
            .axis_desc_style(("sans-serif", TEXT, &INK))
            .draw()?;
        for (index, (_, bars)) in groups.iter().enumerate() {
            let width = 0.8 / whole(bars.len().max(1));
            for (place, &(series, height)) in bars.iter().enumerate() {
                let left = whole(index) - 0.4 + width * whole(place);
                let (from, to) = ((left + width * 0.08, 0.0), (left + width * 0.92, height));
                chart.draw_series([Rectangle::new([from, to], colour(series).filled())])?;
                let middle = chart.backend_coord(&(left + width / 2.0, height));
                let style = ("sans-serif", TEXT - 3).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Bottom));
                area.draw(&Text::new(format!("{height:.0}"), (middle.0, middle.1 - 2), style))?;
            }
        }
        Ok(())
    })
}

/// What happened over time: two panels with the same time axis, and numbered moments.
pub(super) struct Timeline<'a> {
    /// Length of the time axis, in s.
    pub(super) seconds: f64,
    /// Upper and lower.
    pub(super) panels: [Panel<'a>; 2],
    /// Moments, in s; they are numbered from 1.
    pub(super) moments: Vec<f64>,
}

/// One number over time.
pub(super) struct Panel<'a> {
    /// What it is, with its unit.
    pub(super) title: &'a str,
    /// The axis' upper end.
    pub(super) most: f64,
    /// `(s, value)`: the value since the point before.
    pub(super) steps: Vec<(f64, f64)>,
    pub(super) colour: usize,
}

/// Rows of numbers above the panels, so that close ones do not overlap.
const NUMBER_ROWS: usize = 4;
const NUMBER_WIDTH: i32 = 20;

/// Draws a timeline.
pub(super) fn timeline(timeline: &Timeline<'_>) -> String {
    picture((SIZE.0, 430), |area| {
        let (numbers, rest) = area.split_vertically(16 * 4 + 4);
        let panels = rest.split_evenly((2, 1));
        let whole_number = |value: f64| if value.fract().abs() < 1e-9 { format!("{value:.0}") } else { String::new() };
        for (index, (place, panel)) in panels.iter().zip(&timeline.panels).enumerate() {
            let most = above(panel.most);
            let mut chart = ChartBuilder::on(place);
            chart.margin_right(16).margin_left(4).margin_top(4).x_label_area_size(44).y_label_area_size(66);
            let mut chart = chart.build_cartesian_2d(0.0..timeline.seconds, 0.0..most)?;
            mesh(
                &mut chart,
                Axis { title: "time (s)", show: &|s| format!("{s:.0}") },
                Axis { title: panel.title, show: &whole_number },
            )?;
            for &moment in &timeline.moments {
                chart.draw_series([PathElement::new([(moment, 0.0), (moment, most)], GRID.stroke_width(2))])?;
            }
            chart.draw_series(panel.steps.windows(2).filter(|pair| pair[1].1 > 0.0).map(|pair| {
                Rectangle::new([(pair[0].0, 0.0), (pair[1].0, pair[1].1)], colour(panel.colour).filled())
            }))?;
            if index == 0 {
                let mut row_ends = [i32::MIN; NUMBER_ROWS];
                for (number, &moment) in timeline.moments.iter().enumerate() {
                    let x = chart.backend_coord(&(moment, 0.0)).0;
                    let Some(row) = row_ends.iter().position(|end| *end <= x) else { continue };
                    row_ends[row] = x + NUMBER_WIDTH;
                    let y = 16 * i32::try_from(NUMBER_ROWS - row).unwrap_or(1);
                    let style = ("sans-serif", 13).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Bottom));
                    numbers.draw(&Text::new((number + 1).to_string(), (x, y), style))?;
                }
            }
        }
        Ok(())
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn chart<X, Y>(area: &Area<'_>, lines: &[Line], across: X, up: Y, x: Axis<'_>, y: Axis<'_>, dots: bool) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area);
    chart.margin(10).margin_right(24).x_label_area_size(48).y_label_area_size(76);
    let mut chart = chart.build_cartesian_2d(across, up)?;
    mesh(&mut chart, x, y)?;
    for line in lines {
        chart.draw_series(LineSeries::new(line.points.iter().copied(), colour(line.colour).stroke_width(2)))?;
        if dots {
            chart.draw_series(line.points.iter().map(|&point| Circle::new(point, 4, colour(line.colour).filled())))?;
        }
    }
    Ok(())
}

fn mesh<X, Y>(chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>, x: Axis<'_>, y: Axis<'_>) -> Drawn
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|value| (x.show)(*value))
        .y_label_formatter(&|value| (y.show)(*value))
        .x_desc(x.title)
        .y_desc(y.title)
        .label_style(("sans-serif", TEXT, &INK))
        .axis_desc_style(("sans-serif", TEXT, &INK))
        .draw()?;
    Ok(())
}

/// An axis needs some length.
fn above(largest: f64) -> f64 {
    if largest > 0.0 { largest } else { 1.0 }
}

#[allow(clippy::cast_precision_loss, reason = "a handful")]
fn whole(number: usize) -> f64 {
    number as f64
}

/// Draws into a string. A plot that cannot be drawn leaves its place empty: the numbers are in the tables too.
fn picture(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        if let Err(error) = draw(&area).and_then(|()| Ok(area.present()?)) {
            tracing::warn!(%error, "cannot draw a plot");
        }
    }
    themed(&svg, size)
}

/// The page's colours in place of the stand-ins, the page's size, and no namespace (HTML knows it, and it would look
/// like a reference to somewhere else).
fn themed(svg: &str, (width, height): (u32, u32)) -> String {
    let head = format!("<svg width=\"{width}\" height=\"{height}\" ");
    let svg = svg.replacen(&head, "<svg role=\"img\" ", 1).replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    THEME.iter().fold(svg, |svg, (stand_in, colour)| svg.replace(stand_in, colour))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_stretched_towards_a_hundred() {
        assert!((nines(0.0)).abs() < 1e-9 && (nines(99.0) - 2.0).abs() < 1e-9 && nines(100.0) <= MOST_NINES);
        assert_eq!([0.0, 1.0, 2.0, 3.0, 4.0].map(show_nines), ["0%", "90%", "99%", "99.9%", "99.99%"]);
    }

    #[test]
    fn a_picture_takes_the_pages_colours() {
        let axis = Axis { title: "things (pieces)", show: &|value| format!("{value:.0}") };
        let svg = lines(&[Line { colour: 1, points: vec![(1.0, 2.0), (3.0, 4.0)] }], axis, axis);
        assert!(svg.starts_with("<svg role=\"img\" viewBox=\"0 0 520 320\">"), "{}", &svg[..80]);
        assert!(svg.contains("var(--s1)") && svg.contains("currentColor") && svg.contains("things (pieces)"));
        assert!(!svg.contains('#'), "no colour of its own: {svg}");
        assert!(!svg.contains("http"));
    }
}

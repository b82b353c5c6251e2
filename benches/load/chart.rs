//! The report as a chart: calls per second of the service and of its peers, side by side.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;
use crate::plan::{Crowd, Engine, Side, Work};
use crate::report::{Report, Row};

const SIZE: (u32, u32) = (960, 660);
const WORKS: [Work; 5] = [Work::Get, Work::Create, Work::Update, Work::Delete, Work::List];
const SIDES: [(Side, &str, RGBColor); 6] = [
    (Side::Service(Engine::Postgres), "service on PostgreSQL", RGBColor(0, 90, 160)),
    (Side::LanesOff(Engine::Postgres), "the same, lanes off", RGBColor(140, 190, 230)),
    (Side::Pgbench, "pgbench, same statement", RGBColor(150, 150, 150)),
    (Side::Service(Engine::Sqlite), "service on SQLite", RGBColor(0, 120, 80)),
    (Side::LanesOff(Engine::Sqlite), "the same, lanes off", RGBColor(150, 210, 180)),
    (Side::Echo, "bare tonic echo", RGBColor(220, 160, 60)),
];

/// Draws into an SVG file.
pub(crate) fn draw(report: &Report, file: &Path) -> Result<()> {
    let bars: Vec<(Work, Vec<(usize, f64)>)> = WORKS
        .into_iter()
        .map(|work| (work, bars_of(report, work)))
        .filter(|(_, bars)| !bars.is_empty())
        .collect();
    let top = bars.iter().flat_map(|(_, bars)| bars).map(|(_, rate)| *rate).fold(1.0, f64::max) * 1.15;
    // Places along the axis: one per bar, and one between two kinds of work.
    let places: usize = bars.iter().map(|(_, bars)| bars.len() + 1).sum();

    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Calls per second, all on one machine", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..count(places.max(1)), 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .draw()?;

    let centred = |size: u32, vertical| {
        ("sans-serif", size).into_font().color(&BLACK).pos(Pos::new(HPos::Center, vertical))
    };
    let mut at = 0.5;
    for (work, bars) in &bars {
        let middle = at + count(bars.len()) / 2.0;
        for (side, rate) in bars {
            let color = SIDES[*side].2;
            chart.draw_series([Rectangle::new([(at + 0.08, 0.0), (at + 0.92, *rate)], color.filled())])?;
            let label =
                Text::new(format!("{:.1}k", rate / 1e3), (at + 0.5, *rate), centred(11, VPos::Bottom));
            chart.draw_series([label])?;
            at += 1.0;
        }
        let below = -top * 0.015;
        chart.draw_series([Text::new(work.method(), (middle, below), centred(14, VPos::Top))])?;
        at += 1.0;
    }
    legend(&area)?;
    area.present()?;
    Ok(())
}

fn bars_of(report: &Report, work: Work) -> Vec<(usize, f64)> {
    let bar = |(place, (side, _, _)): (usize, &(Side, &str, RGBColor))| {
        let of =
            |row: &&Row| row.case.work == work && row.case.side == *side && row.case.crowd == Crowd::Many;
        Some((place, report.rows.iter().find(of)?.figures.calls_per_second?))
    };
    SIDES.iter().enumerate().filter_map(bar).collect()
}

fn legend(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Result<()> {
    for (place, (_, name, color)) in (0..).zip(SIDES) {
        let (x, y) = (730, 60 + place * 20);
        area.draw(&Rectangle::new([(x, y), (x + 14, y + 14)], color.filled()))?;
        area.draw(&Text::new(name, (x + 20, y + 1), ("sans-serif", 13)))?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a number of bars")]
fn count(number: usize) -> f64 {
    number as f64
}

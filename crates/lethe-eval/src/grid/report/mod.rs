//! `report.html`: the summary with plots, in one file that needs nothing else.

mod chart;
mod curves;
mod frame;
mod page;

pub(super) use page::page;

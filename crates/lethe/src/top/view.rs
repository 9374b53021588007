//! The picture: a function of the state alone.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline, SparklineBar, Wrap};

use crate::bars;

use super::loads::Loads;
use super::plain::share;
use super::state::{Link, Rates, State};

/// From here on there is room for whole words.
const WIDE: u16 = 72;
/// Columns that a name takes.
const NAME: usize = 10;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame, state: &State) {
    let [title, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(frame.area());
    frame.render_widget(heading(state, title.width), title);
    match (&state.loads, &state.link) {
        (Some(loads), _) => cache(frame, state, loads, body),
        (None, Link::Down(reason)) => {
            let said = Paragraph::new(format!("{reason}\n\nAsking again every second.")).wrap(Wrap { trim: true });
            frame.render_widget(said, body);
        }
        (None, _) => frame.render_widget(Paragraph::new("Asking the server.").dim(), body),
    }
}

/// Where the server is, and how it answers.
fn heading(state: &State, width: u16) -> Line<'static> {
    let link = match &state.link {
        _ if state.paused => "paused".yellow(),
        Link::Connecting => "connecting".dim(),
        Link::Live => "live".green(),
        Link::Down(_) => "no answer".red(),
    };
    let mut spans = vec!["lethe top  ".bold(), link, Span::raw(format!("  {}", state.url))];
    if width >= WIDE {
        spans.push("   q quits, p pauses".dim());
    }
    Line::from(spans)
}

fn cache(frame: &mut Frame, state: &State, loads: &Loads, area: Rect) {
    let figures = figures(state, loads, area.width);
    // where there is little room, numbers come first and the sparkline goes first
    let room = area.height.saturating_sub(figures.len() as u16);
    let speed = if room >= 10 { 5 } else { room.min(3) };
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(figures.len() as u16), Constraint::Length(speed), Constraint::Min(0)])
            .areas(area);
    frame.render_widget(Paragraph::new(figures), top);
    history(frame, state, middle);
    slots(frame, &loads.engine.lethe.slots, bottom);
}

/// The lines of numbers.
fn figures(state: &State, loads: &Loads, width: u16) -> Vec<Line<'static>> {
    let (engine, cache) = (&loads.engine, &loads.engine.lethe);
    let wide = width >= WIDE;
    let name = |name: &str| Span::raw(format!("{name:<NAME$}")).dim();
    let mut lines = Vec::new();
    if let Link::Down(reason) = &state.link {
        lines.push(Line::from(reason.clone()).red());
    }
    let of = if engine.max_running_requests > 0 { format!("/{}", engine.max_running_requests) } else { String::new() };
    let [running, waiting, parked, kept] =
        [engine.num_running_reqs, engine.num_waiting_reqs.saturating_sub(cache.preempted), cache.preempted, cache.kept];
    lines.push(Line::from(vec![
        name("requests"),
        Span::raw(if wide {
            format!("{running}{of} running   {waiting} waiting   {parked} parked   {kept} sessions kept")
        } else {
            format!("{running}{of} run {waiting} wait {parked} parked")
        }),
    ]));
    let held = share(cache.pages_held(), cache.pages_total);
    let numbers = format!(" {:>3.0} % of {} pages", 100.0 * held, cache.pages_total);
    let cached = if wide { format!(", {} cached", cache.cached_pages) } else { String::new() };
    let room = usize::from(width).saturating_sub(NAME + numbers.len() + cached.len()).min(40);
    let bar = bars::padded_bar(cache.pages_held() as usize, cache.pages_total as usize, room);
    let colour = if held > 0.95 { Color::Yellow } else { Color::Cyan };
    lines.push(Line::from(vec![
        name("pool"),
        Span::styled(bar, Style::new().fg(colour).bg(Color::DarkGray)),
        Span::raw(numbers + &cached),
    ]));
    let hits = state.hit_rate.map_or("no look-ups".to_owned(), |rate| format!("{:.0} % of tokens found", 100.0 * rate));
    lines.push(Line::from(vec![name("prefix"), Span::raw(hits)]));
    let forgotten = match &state.rates {
        Some(r) if wide => format!(
            "{} rounds/s   {} slots/s   {} preemptions/s   {} steps/s",
            short(r.rounds),
            short(r.evicted_slots),
            short(r.preemptions),
            short(r.steps)
        ),
        Some(r) => format!("{} rounds/s {} slots/s", short(r.rounds), short(r.evicted_slots)),
        None => "-".to_owned(),
    };
    lines.push(Line::from(vec![name("forgets"), Span::raw(forgotten)]));
    lines
}

/// Tokens per second, now and as they were.
fn history(frame: &mut Frame, state: &State, area: Rect) {
    let said = match &state.rates {
        Some(Rates { generated_tokens, prompt_tokens, .. }) => {
            format!(" {} tokens/s, {} of prompts ", short(*generated_tokens), short(*prompt_tokens))
        }
        None => " - tokens/s ".to_owned(),
    };
    let block = Block::bordered().title(said.bold()).border_style(Style::new().dim());
    let width = usize::from(block.inner(area).width);
    // the latest is at the right edge
    let shown = state.history.len().min(width);
    let bars = std::iter::repeat_n(None, width - shown)
        .chain(state.history.iter().skip(state.history.len() - shown).map(|rate| Some(*rate)))
        .map(SparklineBar::from);
    let line = Sparkline::default().block(block).data(bars).style(Style::new().fg(Color::Green));
    frame.render_widget(line, area);
}

/// Slots of every layer: a line for each where there are lines enough, else a column for each.
fn slots(frame: &mut Frame, slots: &[u64], area: Rect) {
    let most = slots.iter().copied().max().unwrap_or(0);
    let mean = slots.iter().map(|n| *n as f64).sum::<f64>() / slots.len().max(1) as f64;
    let block = Block::bordered().border_style(Style::new().dim());
    let inner = block.inner(area);
    let title = |of: String| format!(" slots per layer: {mean:.0} on average, {most} at most{of} ");
    if slots.len() <= usize::from(inner.height) {
        let digits = most.max(1).ilog10() as usize + 1;
        let room = usize::from(inner.width).saturating_sub(5 + digits);
        let lines: Vec<Line> = slots
            .iter()
            .enumerate()
            .map(|(layer, n)| {
                let bar = bars::padded_bar(*n as usize, most as usize, room);
                Line::from(vec![
                    Span::raw(format!("{layer:>3} ")).dim(),
                    Span::raw(bar).fg(Color::Cyan),
                    Span::raw(format!(" {n:>digits$}")),
                ])
            })
            .collect();
        frame.render_widget(Paragraph::new(lines).block(block.title(title(String::new()).bold())), area);
        return;
    }
    // several columns a layer, or several layers a column
    let width = usize::from(inner.width).max(1);
    let (layers, columns) =
        if slots.len() <= width { (1, width / slots.len()) } else { (slots.len().div_ceil(width), 1) };
    let bars: Vec<u64> = slots
        .chunks(layers)
        .flat_map(|layers| {
            let n = layers.iter().copied().max().unwrap_or(0);
            let gap = usize::from(columns > 1);
            std::iter::repeat_n(n, columns - gap).chain(std::iter::repeat_n(0, gap))
        })
        .collect();
    let block = block.title(title(format!(" of {}", slots.len())).bold());
    frame.render_widget(Sparkline::default().block(block).data(&bars).style(Style::new().fg(Color::Cyan)), area);
}

/// A rate in few characters.
fn short(rate: f64) -> String {
    match rate {
        r if r >= 100_000.0 => format!("{:.0}k", r / 1000.0),
        r if r >= 10.0 || r == 0.0 => format!("{r:.0}"),
        r => format!("{r:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    /// The picture as text, without blanks at the ends of lines.
    fn picture(state: &State, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| draw(frame, state)).expect("drawn");
        let cells: Vec<&str> = terminal.backend().buffer().content().iter().map(|cell| cell.symbol()).collect();
        let lines: Vec<String> =
            cells.chunks(usize::from(width)).map(|line| line.concat().trim_end().to_owned()).collect();
        lines.join("\n")
    }

    /// A server with so many layers after ten looks, a second apart.
    fn busy(layers: u64) -> State {
        let (mut state, start) = (State::new("http://127.0.0.1:8080"), Instant::now());
        for second in 0..=10 {
            let mut loads = Loads::default();
            let engine = &mut loads.engine;
            (engine.num_running_reqs, engine.num_waiting_reqs, engine.max_running_requests) = (12, 7, 16);
            let cache = &mut engine.lethe;
            cache.slots = (0..layers).map(|layer| 4000 - 300 * (layer % 10)).collect();
            (cache.pages_free, cache.pages_total, cache.cached_pages) = (512, 2048, 96);
            (cache.preempted, cache.kept) = (2, 1);
            let counters = &mut cache.counters;
            counters.generated_tokens_total = second * second * 10;
            counters.prompt_tokens_total = second * 1500;
            (counters.prefix_queries_total, counters.prefix_hits_total) = (second * 100, second * 34);
            (counters.rounds_total, counters.evicted_slots_total, counters.steps_total) =
                (second * 3 / 2, second * 640, second * 25);
            state.take(start + Duration::from_secs(second), Ok(loads));
        }
        state
    }

    #[test]
    fn eighty_columns_show_everything() {
        assert_eq!(picture(&busy(6), 80, 24), "");
    }

    #[test]
    fn forty_columns_show_what_matters() {
        assert_eq!(picture(&busy(28), 40, 16), "");
    }

    #[test]
    fn many_layers_stand_side_by_side() {
        assert_eq!(picture(&busy(36), 80, 18), "");
    }

    #[test]
    fn no_size_is_too_small() {
        for state in [busy(6), busy(100), busy(0), State::new("u")] {
            for (width, height) in [(1, 1), (2, 3), (10, 4), (20, 9), (80, 7), (200, 60)] {
                picture(&state, width, height);
            }
        }
    }

    #[test]
    fn a_server_that_does_not_answer_is_shown_with_the_reason() {
        let mut state = State::new("http://h");
        assert!(picture(&state, 60, 8).contains("connecting"));
        state.take(Instant::now(), Err("no server answers at http://h: refused".into()));
        let text = picture(&state, 60, 8);
        for word in ["no answer", "refused", "Asking again"] {
            assert!(text.contains(word), "{text}");
        }
        let mut state = busy(6);
        state.take(Instant::now(), Err("it takes too long".into()));
        let text = picture(&state, 80, 24);
        assert!(
            text.contains("no answer") && text.contains("it takes too long") && text.contains("2048 pages"),
            "{text}"
        );
        state.paused = true;
        assert!(picture(&state, 80, 24).contains("paused"));
    }

    #[test]
    fn rates_are_short() {
        let all = [0.0, 0.25, 9.96, 10.4, 99_999.0, 250_000.0].map(short);
        assert_eq!(all, ["0", "0.2", "10.0", "10", "99999", "250k"]);
    }
}

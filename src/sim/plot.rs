//! Draws a schedule as an SVG: processors in use and wanted over time, and who ran where (a Gantt chart).

use std::fmt::Write as _;

use super::trace::Job;

/// The Gantt chart shows at most so many jobs, around the one that waited longest: more would be a grey wall.
pub const GANTT_JOBS_MAX: usize = 2_000;

/// Into how many equal spans of time the curves are cut.
const SPANS: usize = 460;

const WIDTH: f64 = 1_000.0;
const LEFT: f64 = 70.0;
const INNER: f64 = WIDTH - LEFT - 10.0;

/// The colours of users, told apart by people who see few colours, too (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999933"];

/// The picture of jobs that started then.
pub fn svg(title: &str, jobs: &[Job], processors: u32, starts: &[i64]) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"900\" \
         viewBox=\"0 0 {WIDTH} 900\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"900\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{}</text>",
        escape(title)
    );
    let first = jobs.iter().map(|job| job.submit).min().unwrap_or(0);
    let last = jobs.iter().zip(starts).map(|(job, start)| start + job.run).max().unwrap_or(first);
    let time = Span { first, last: last.max(first + 1) };
    let used =
        spread(time, jobs.iter().zip(starts).map(|(job, start)| (*start, start + job.run, job.processors)));
    let wanted =
        spread(time, jobs.iter().zip(starts).map(|(job, start)| (job.submit, *start, job.processors)));
    let panel = Panel { top: 50.0, height: 180.0, time };
    curve(&mut out, &panel, "processors in use", &used, f64::from(processors), "#0072b2");
    let panel = Panel { top: 280.0, height: 130.0, time };
    let most = wanted.iter().copied().fold(1.0, f64::max);
    curve(&mut out, &panel, "processors waited for", &wanted, most, "#d55e00");
    gantt(&mut out, jobs, processors, starts);
    out.push_str("</svg>\n");
    out
}

/// A stretch of time in seconds; never empty.
#[derive(Clone, Copy)]
struct Span {
    first: i64,
    last: i64,
}

impl Span {
    fn length(self) -> f64 {
        (self.last - self.first) as f64
    }

    /// How far a second is into it, 0 to 1.
    fn share(self, second: i64) -> f64 {
        ((second - self.first) as f64 / self.length()).clamp(0.0, 1.0)
    }
}

struct Panel {
    top: f64,
    height: f64,
    time: Span,
}

impl Panel {
    fn x(&self, second: i64) -> f64 {
        LEFT + INNER * self.time.share(second)
    }

    /// Frame, title, and what stands at its edges.
    fn frame(&self, out: &mut String, title: &str, most: f64) {
        let (top, bottom) = (self.top, self.top + self.height);
        let _ = writeln!(
            out,
            "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{INNER}\" height=\"{}\" fill=\"none\" stroke=\"#888\"/>\n\
             <text x=\"{LEFT}\" y=\"{}\">{}</text>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{most:.0}</text>\n\
             <text x=\"{}\" y=\"{bottom}\" text-anchor=\"end\">0</text>",
            self.height,
            top - 6.0,
            escape(title),
            LEFT - 6.0,
            top + 12.0,
            LEFT - 6.0,
        );
        for (part, anchor) in
            [(0.0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1.0, "end")]
        {
            let second = self.time.first + (self.time.length() * part) as i64;
            let (x, y) = (LEFT + INNER * part, bottom + 15.0);
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
                clock(second)
            );
        }
    }
}

fn curve(out: &mut String, panel: &Panel, title: &str, values: &[f64], most: f64, colour: &str) {
    panel.frame(out, title, most);
    let bottom = panel.top + panel.height;
    let _ = write!(out, "<path fill=\"{colour}\" fill-opacity=\"0.6\" d=\"M{LEFT} {bottom}");
    let step = INNER / values.len().max(1) as f64;
    let mut x = LEFT;
    for value in values {
        let y = bottom - panel.height * (value / most).clamp(0.0, 1.0);
        let _ = write!(out, "L{x:.2} {y:.2}L{:.2} {y:.2}", x + step);
        x += step;
    }
    let _ = writeln!(out, "L{x:.2} {bottom}Z\"/>");
}

/// The mean number of processors in each of [`SPANS`] equal spans.
fn spread(time: Span, pieces: impl Iterator<Item = (i64, i64, u32)>) -> Vec<f64> {
    // Slopes first: a piece is one up and one down, and the sums of sums are its area.
    let mut area = vec![0.0; SPANS + 1];
    let mut level = vec![0.0; SPANS + 1];
    let mut edge = |second: i64, height: f64| {
        let at = time.share(second) * SPANS as f64;
        let span = (at as usize).min(SPANS);
        if let (Some(area), true) = (area.get_mut(span), span < SPANS) {
            *area += height * ((span + 1) as f64 - at);
        }
        if let Some(level) = level.get_mut(span + 1) {
            *level += height;
        }
    };
    for (from, to, processors) in pieces {
        edge(from, f64::from(processors));
        edge(to, -f64::from(processors));
    }
    let mut running = 0.0;
    let spans = area.iter().zip(&level).take(SPANS);
    spans
        .map(|(area, level)| {
            running += level;
            running + area
        })
        .collect()
}

/// Who ran where, for as many jobs as can be told apart.
fn gantt(out: &mut String, jobs: &[Job], processors: u32, starts: &[i64]) {
    let waits = jobs.iter().zip(starts).map(|(job, start)| start - job.submit);
    let longest = waits.enumerate().max_by_key(|(at, wait)| (*wait, usize::MAX - at)).map_or(0, |(at, _)| at);
    let from = longest.saturating_sub(GANTT_JOBS_MAX / 2).min(jobs.len().saturating_sub(GANTT_JOBS_MAX));
    let shown = from..jobs.len().min(from + GANTT_JOBS_MAX);
    let ends = |at: usize| jobs.get(at).zip(starts.get(at)).map(|(job, start)| (*start, start + job.run));
    let spans = shown.clone().filter_map(ends);
    let (first, last) =
        spans.fold((i64::MAX, i64::MIN), |(low, high), (start, end)| (low.min(start), high.max(end)));
    if first >= last {
        return;
    }
    let panel = Panel { top: 470.0, height: 400.0, time: Span { first, last } };
    let title = format!(
        "jobs {} to {} of {}, one colour a user, on the processors",
        shown.start + 1,
        shown.end,
        jobs.len()
    );
    panel.frame(out, &title, f64::from(processors));
    let each = panel.height / f64::from(processors);
    for (at, places) in seats(jobs, processors, starts, &shown) {
        let (Some(job), Some((start, end))) = (jobs.get(at), ends(at)) else { continue };
        let colour = COLOURS[job.user.unsigned_abs() as usize % COLOURS.len()];
        let (x, width) = (panel.x(start), (panel.x(end) - panel.x(start)).max(0.3));
        for (low, count) in places {
            let y = panel.top + panel.height - each * f64::from(low + count);
            let _ = writeln!(
                out,
                "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{:.2}\" fill=\"{colour}\" \
                 stroke=\"white\" stroke-width=\"0.2\"><title>job {} user {}: {} processors, {} to {}</title></rect>",
                each * f64::from(count),
                job.id,
                job.user,
                job.processors,
                clock(start),
                clock(end),
            );
        }
    }
}

/// Runs of processors: the lowest and how many.
type Runs = Vec<(u32, u32)>;

/// On which processors the shown jobs ran, if each takes the lowest that are free.
fn seats(
    jobs: &[Job],
    processors: u32,
    starts: &[i64],
    shown: &std::ops::Range<usize>,
) -> Vec<(usize, Runs)> {
    let mut events: Vec<(i64, bool, usize)> = Vec::with_capacity(jobs.len() * 2);
    for (at, (job, start)) in jobs.iter().zip(starts).enumerate() {
        // False sorts first: what ends makes room for what starts in the same second.
        events.push((start + job.run, false, at));
        events.push((*start, true, at));
    }
    events.sort_unstable();
    let mut free: Runs = vec![(0, processors)];
    let mut taken: Vec<Runs> = vec![Vec::new(); jobs.len()];
    let mut seen = Vec::new();
    for (_, begins, at) in events {
        let (Some(job), Some(runs)) = (jobs.get(at), taken.get_mut(at)) else { continue };
        if !begins {
            give_back(&mut free, std::mem::take(runs));
            continue;
        }
        *runs = take(&mut free, job.processors);
        if shown.contains(&at) {
            seen.push((at, runs.clone()));
        }
    }
    seen
}

/// Takes the first run that is long enough, or else the lowest of all.
fn take(free: &mut Runs, wanted: u32) -> Runs {
    if let Some(run) = free.iter_mut().find(|(_, count)| *count >= wanted) {
        let low = run.0;
        *run = (low + wanted, run.1 - wanted);
        return vec![(low, wanted)];
    }
    let (mut runs, mut missing) = (Vec::new(), wanted);
    for run in free.iter_mut() {
        let part = run.1.min(missing);
        if part > 0 {
            runs.push((run.0, part));
            *run = (run.0 + part, run.1 - part);
            missing -= part;
        }
    }
    free.retain(|(_, count)| *count > 0);
    runs
}

fn give_back(free: &mut Runs, runs: Runs) {
    free.extend(runs);
    free.sort_unstable();
    let mut joined: Runs = Vec::with_capacity(free.len());
    for (low, count) in free.drain(..).filter(|(_, count)| *count > 0) {
        match joined.last_mut() {
            Some((before, length)) if *before + *length == low => *length += count,
            _ => joined.push((low, count)),
        }
    }
    *free = joined;
}

/// Seconds as days and hours.
fn clock(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    format!("{days}-{:02}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            letter if letter.is_control() => out.push('?'),
            letter => out.push(letter),
        }
    }
    out
}

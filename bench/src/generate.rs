//! Files of messages: one JSON line each, in the order of arrival, with repeated and jittered messages.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread::ScopedJoinHandle,
};

use anyhow::{Context, anyhow};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    event::{self, COUNTRIES, Shape},
    random::Random,
};

/// Messages that are delivered twice, in a hundred.
const REPEATED_PERCENT: u64 = 2;
/// A message arrives at most this many messages away from its place.
const JITTER: u64 = 500;
/// 2026-01-01, a message each 10 ms: what benchmarks of other engines use.
const BENCH_START_US: i64 = 1_767_225_600_000_000;

/// One file to write: messages `first` to `first + count`.
#[derive(Clone, Debug)]
pub struct Part {
    /// Where it is written.
    pub path: PathBuf,
    /// The first offset.
    pub first: u64,
    /// Number of messages.
    pub count: u64,
}

/// How much is generated.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Messages of the initial load.
    pub rows: u64,
    /// Files of the initial load.
    pub files: u64,
    /// Later batches of one file each.
    pub batches: u64,
    /// Messages of each later batch.
    pub batch_rows: u64,
}

/// The shape of benchmark data.
pub fn bench_shape(seed: u64, rows: u64) -> Shape {
    let customers = (rows / 10).max(1000);
    Shape { seed, start_us: BENCH_START_US, step_us: 10_000, customers, books: 1000, bad_orders: 100, dirty: false }
}

/// Writes `out/stage/b0000/…` (initial load), `out/stage/b0001/…` (later batches) and `out/country_lookup/`.
pub fn stage(shape: &Shape, size: Size, out: &Path) -> anyhow::Result<()> {
    let mut parts = Vec::new();
    let mut first = 0;
    let files = size.files.clamp(1, size.rows.max(1));
    for file in 0..files {
        let count = size.rows / files + u64::from(file < size.rows % files);
        parts.push(Part { path: out.join(format!("stage/b0000/bookstore-0000-{file:05}.json")), first, count });
        first += count;
    }
    for batch in 1..=size.batches {
        let path = out.join(format!("stage/b{batch:04}/bookstore-{batch:04}-00000.json"));
        parts.push(Part { path, first, count: size.batch_rows });
        first += size.batch_rows;
    }
    write_parts(shape, &parts)?;
    write_countries(&out.join("country_lookup"))
}

/// Writes all parts, as many at once as there are processors.
pub fn write_parts(shape: &Shape, parts: &[Part]) -> anyhow::Result<()> {
    for part in parts {
        if let Some(folder) = part.path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
    }
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| write_waiting(shape, parts, &next))).collect();
        let finished = |worker: ScopedJoinHandle<'_, anyhow::Result<()>>| worker.join().unwrap_or_else(|_| Err(anyhow!("a writer died")));
        workers.into_iter().try_for_each(finished)
    })
}

fn write_waiting(shape: &Shape, parts: &[Part], next: &AtomicU64) -> anyhow::Result<()> {
    while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
        write_part(shape, part)?;
    }
    Ok(())
}

/// A file appears under its name only when it is complete.
fn write_part(shape: &Shape, part: &Part) -> anyhow::Result<()> {
    let hidden = part.path.with_extension("tmp");
    let context = || format!("cannot write {}", part.path.display());
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&hidden).with_context(context)?);
    let mut message = Message::default();
    for (index, number) in arrivals(shape, part).into_iter().enumerate() {
        message.fill(shape, number, part.first + index as u64)?;
        out.write_all(&message.line).with_context(context)?;
    }
    out.flush().with_context(context)?;
    fs::rename(&hidden, &part.path).with_context(context)
}

/// The numbers of the events of a file in the order of their arrival, some of them twice.
fn arrivals(shape: &Shape, part: &Part) -> Vec<u64> {
    let mut random = Random::new(shape.seed, part.first | 1 << 61);
    let distinct = (part.count - part.count * REPEATED_PERCENT / 100).max(1);
    let mut events: Vec<(u64, u64)> = (0..part.count)
        .map(|index| {
            let event = if index < distinct { index } else { random.below(distinct) };
            (event + random.below(2 * JITTER.min(part.count)), part.first + event)
        })
        .collect();
    events.sort_by_key(|(arrival, _)| *arrival);
    events.into_iter().map(|(_, number)| number).collect()
}

#[derive(Default)]
struct Message {
    key: Vec<u8>,
    value: Vec<u8>,
    line: Vec<u8>,
    text: String,
}

impl Message {
    fn fill(&mut self, shape: &Shape, number: u64, offset: u64) -> anyhow::Result<()> {
        self.key.clear();
        self.value.clear();
        self.line.clear();
        let topic = event::write(shape, number, &mut self.key, &mut self.value)?.name();
        self.line.extend_from_slice(b"{\"key\":\"");
        self.append_base64(true);
        self.line.extend_from_slice(b"\",\"value\":\"");
        self.append_base64(false);
        let (partition, timestamp) = (number % 4, event::time_us(shape, number) / 1000);
        writeln!(self.line, r#"","topic":"{topic}","partition":{partition},"offset":{offset},"timestamp":{timestamp}}}"#)?;
        Ok(())
    }

    fn append_base64(&mut self, of_key: bool) {
        self.text.clear();
        STANDARD.encode_string(if of_key { &self.key } else { &self.value }, &mut self.text);
        self.line.extend_from_slice(self.text.as_bytes());
    }
}

/// Writes the static look-up file.
pub fn write_countries(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let line = |(code, country): &(&str, &str)| format!("{{\"code\":\"{code}\",\"country\":\"{country}\"}}\n");
    let lines = COUNTRIES.iter().map(line).collect::<Vec<_>>().concat();
    let path = folder.join("country_lookup.json");
    fs::write(&path, lines).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_files() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let size = Size { rows: 1001, files: 3, batches: 2, batch_rows: 50 };
        for folder in &folders {
            stage(&bench_shape(7, size.rows), size, folder.path()).unwrap();
        }
        for file in ["stage/b0000/bookstore-0000-00002.json", "stage/b0002/bookstore-0002-00000.json"] {
            let [one, other] = [0, 1].map(|index| fs::read(folders[index].path().join(file)).unwrap());
            assert_eq!(one, other);
        }
        let counts: Vec<usize> =
            (0..3).map(|file| lines(&folders[0].path().join(format!("stage/b0000/bookstore-0000-{file:05}.json"))).len()).collect();
        assert_eq!(counts, [334, 334, 333]);
        let batch = lines(&folders[0].path().join("stage/b0001/bookstore-0001-00000.json"));
        assert_eq!(batch[0]["offset"], 1001);
    }

    #[test]
    fn messages_have_the_shapes_of_the_bookstore() {
        let folder = tempfile::tempdir().unwrap();
        let shape = Shape { dirty: true, bad_orders: 200, ..bench_shape(7, 5000) };
        write_parts(&shape, &[Part { path: folder.path().join("m.json"), first: 0, count: 5000 }]).unwrap();
        let messages = lines(&folder.path().join("m.json"));
        let mut seen = std::collections::BTreeMap::new();
        let mut keys = std::collections::BTreeSet::new();
        let (mut broken, mut bad_quantity) = (0, 0);
        for message in &messages {
            let decode = |field: &str| String::from_utf8(STANDARD.decode(message[field].as_str().unwrap()).unwrap()).unwrap();
            *seen.entry(message["topic"].as_str().unwrap().to_string()).or_insert(0) += 1;
            keys.insert(decode("value"));
            match serde_json::from_str::<serde_json::Value>(&decode("value")) {
                Err(_) => broken += 1,
                Ok(value) if message["topic"] == "orders" => {
                    assert_eq!(value["order_id"].as_str().unwrap(), decode("key"));
                    bad_quantity += i32::from(value["quantity"].as_i64().is_none_or(|quantity| quantity <= 0));
                }
                Ok(_) => {}
            }
        }
        assert!(seen["orders"] > 3300 && seen["customers"] > 1100 && seen["books"] > 180, "{seen:?}");
        assert!(broken > 0 && (40..120).contains(&bad_quantity), "{broken} {bad_quantity}");
        assert!(keys.len() <= 4910, "about two in a hundred are repeated: {}", keys.len());
        assert!(messages.windows(2).any(|pair| pair[0]["timestamp"].as_i64() > pair[1]["timestamp"].as_i64()), "out of order");
    }
}

//! The rows of ../../compare by iceoryx2, which compiles and runs it:
//!
//!     iceoryx2_peer trip|fill BYTES
//!     iceoryx2_peer event|wake CPUS
//!     iceoryx2_peer stream SUBSCRIBERS
//!     iceoryx2_peer create|add 0
//!
//! prints the nanoseconds of one round or of one message, measured as
//! ../two_ends.h does. `iceoryx2_peer peer OPERATION NAME` is the other end.

use core::error::Error;
use iceoryx2::port::{publisher::Publisher, subscriber::Subscriber};
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

type Service = ipc::Service;
type Done = Result<(), Box<dyn Error>>;
type Channel = PortFactory<Service, [u8], ()>;

const HERE: usize = 0;
const THERE: usize = 1;
const PATIENCE_SECONDS: u32 = 60;
const BATCH_NS: u128 = 200_000;
const LONG_BATCH_NS: u128 = 20_000_000;
const WARM_NS: u128 = 20_000_000;
const WARM_ROUNDS: u128 = 8;
const SERIES_NS: u128 = 150_000_000;
const MIN_BATCHES: usize = 5;
const ASLEEP_NS: u128 = 100_000;
const MIN_CREATES: usize = 15;
const STREAM_BYTES: usize = 64;
const STREAM_SLOTS: usize = 1024;
const ANSWER_BYTES: usize = 8;
/// No fill writes it; as the first byte it ends the other end.
const ABSENT: u8 = 0xFF;
const END_EVENT: usize = 3;

fn stay_on(cpu: usize) {
    unsafe {
        let mut set: libc::cpu_set_t = core::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, core::mem::size_of_val(&set), &set);
        libc::alarm(PATIENCE_SECONDS);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn median_ns(batch_ns: u128, mut run: impl FnMut()) -> f64 {
    let warm = Instant::now();
    let (mut rounds, mut warm_ns) = (0, 0);
    while rounds < WARM_ROUNDS || warm_ns < WARM_NS {
        run();
        rounds += 1;
        warm_ns = warm.elapsed().as_nanos();
    }
    let batch = (rounds * batch_ns / warm_ns).max(1);
    let (mut means, mut total_ns) = (Vec::new(), 0);
    while total_ns < SERIES_NS || means.len() < MIN_BATCHES {
        let begin = Instant::now();
        for _ in 0..batch {
            run();
        }
        let took_ns = begin.elapsed().as_nanos();
        total_ns += took_ns;
        means.push(took_ns as f64 / batch as f64);
    }
    median(means)
}

fn is_asleep(stat: &File) -> bool {
    let mut text = [0u8; 64];
    let count = stat.read_at(&mut text, 0).unwrap();
    let name_end = text[..count].iter().rposition(|&c| c == b')').unwrap();
    text[name_end + 2] == b'S'
}

/// Returns when a process has slept for a while. This one runs meanwhile.
fn await_sleep(stat: &File) {
    loop {
        while !is_asleep(stat) {
            std::thread::yield_now();
        }
        let begin = Instant::now();
        while begin.elapsed().as_nanos() < ASLEEP_NS {}
        if is_asleep(stat) {
            return;
        }
    }
}

/// The median of single rounds, each after the other end has slept for a while.
fn median_of_wakes_ns(other: &Child, mut run: impl FnMut()) -> Result<f64, Box<dyn Error>> {
    let stat = File::open(format!("/proc/{}/stat", other.id()))?;
    let (mut all, mut total_ns, mut round) = (Vec::new(), 0, 0);
    while total_ns < SERIES_NS {
        let start = Instant::now();
        await_sleep(&stat);
        let begin = Instant::now();
        run();
        let end = Instant::now();
        round += 1;
        if round > WARM_ROUNDS {
            total_ns += (end - start).as_nanos();
            all.push((end - begin).as_nanos() as f64);
        }
    }
    Ok(median(all))
}

/// Starts another end and waits until it takes part.
fn start(operation: &str, name: &str) -> Result<Child, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["peer", operation, name]).stdout(Stdio::piped());
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let mut child = command.spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line)?;
    Ok(child)
}

/// Its files are apart from those of others: below $TMPDIR, and in /dev/shm by
/// a prefix of their own.
fn node() -> Result<Node<Service>, Box<dyn Error>> {
    let mut config = Config::default();
    config.global.prefix = FileName::new(b"shmd_bench_")?;
    let root = std::env::temp_dir().join("iceoryx2");
    config.global.set_root_path(&Path::new(root.as_os_str().as_encoded_bytes())?);
    Ok(NodeBuilder::new().config(&config).create::<Service>()?)
}

/// Whose publishers wait for subscribers that have `slots` messages to read.
fn channel(node: &Node<Service>, name: &str, slots: usize) -> Result<Channel, Box<dyn Error>> {
    Ok(node
        .service_builder(&ServiceName::new(name)?)
        .publish_subscribe::<[u8]>()
        .history_size(0)
        .subscriber_max_buffer_size(slots)
        .enable_safe_overflow(false)
        .open_or_create()?)
}

fn publisher(channel: &Channel, bytes: usize) -> Result<Publisher<Service, [u8], ()>, Box<dyn Error>> {
    Ok(channel
        .publisher_builder()
        .initial_max_slice_len(bytes)
        .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
        .create()?)
}

/// Publishes a message of which only the first byte is written, or all.
fn publish(to: &Publisher<Service, [u8], ()>, bytes: usize, first: u8, fill: bool) -> Done {
    let mut sample = unsafe { to.loan_slice_uninit(bytes)?.assume_init() };
    if fill {
        unsafe { core::ptr::write_bytes(sample.payload_mut().as_mut_ptr(), first, bytes) };
    }
    sample.payload_mut()[0] = first;
    sample.send()?;
    Ok(())
}

/// The first byte of the next message, which is released.
fn receive(from: &Subscriber<Service, [u8], ()>, read: bool) -> Result<u8, Box<dyn Error>> {
    loop {
        if let Some(sample) = from.receive()? {
            let payload = sample.payload();
            if read && payload[0] != ABSENT {
                let found = unsafe {
                    libc::memchr(payload.as_ptr().cast(), ABSENT.into(), payload.len())
                };
                assert!(found.is_null());
            }
            return Ok(payload[0]);
        }
    }
}

fn trip(name: &str, bytes: usize, fill: bool) -> Result<f64, Box<dyn Error>> {
    let mut other = start(if fill { "fill" } else { "trip" }, name)?;
    let node = node()?;
    let to = publisher(&channel(&node, &format!("{name}-there"), 2)?, bytes)?;
    let from = channel(&node, &format!("{name}-back"), 2)?.subscriber_builder().create()?;
    let mut round = 0u8;
    let ns = median_ns(BATCH_NS, || {
        round = (round + 1) & 0x7F;
        publish(&to, bytes, round, fill).unwrap();
        receive(&from, false).unwrap();
    });
    publish(&to, bytes, ABSENT, false)?;
    receive(&from, false)?;
    other.wait()?;
    Ok(ns)
}

fn answer_trips(name: &str, read: bool) -> Done {
    let node = node()?;
    let from = channel(&node, &format!("{name}-there"), 2)?.subscriber_builder().create()?;
    let to = publisher(&channel(&node, &format!("{name}-back"), 2)?, ANSWER_BYTES)?;
    println!("ready");
    loop {
        let first = receive(&from, read)?;
        publish(&to, ANSWER_BYTES, 0, false)?;
        if first == ABSENT {
            return Ok(());
        }
    }
}

macro_rules! event {
    ($node:expr, $name:expr) => {
        $node.service_builder(&ServiceName::new(&$name)?).event().open_or_create()?
    };
}

fn event(name: &str, cpus: usize, asleep: bool) -> Result<f64, Box<dyn Error>> {
    let mut other = start(if cpus == 1 { "event-here" } else { "event" }, name)?;
    let node = node()?;
    let notifier = event!(node, format!("{name}-there")).notifier_builder().create()?;
    let listener = event!(node, format!("{name}-back")).listener_builder().create()?;
    let ask = || {
        notifier.notify_with_custom_event_id(EventId::new(1)).unwrap();
        let mut got = false;
        while !got {
            listener.blocking_wait(|_| got = true).unwrap();
        }
    };
    let ns = if asleep { median_of_wakes_ns(&other, ask)? } else { median_ns(BATCH_NS, ask) };
    notifier.notify_with_custom_event_id(EventId::new(END_EVENT))?;
    other.wait()?;
    Ok(ns)
}

fn answer_events(name: &str) -> Done {
    let node = node()?;
    let listener = event!(node, format!("{name}-there")).listener_builder().create()?;
    let notifier = event!(node, format!("{name}-back")).notifier_builder().create()?;
    println!("ready");
    let mut end = false;
    while !end {
        let mut got = false;
        while !got {
            listener.blocking_wait(|event| {
                got = true;
                end = event.id == EventId::new(END_EVENT);
            })?;
        }
        notifier.notify()?;
    }
    Ok(())
}

fn stream(name: &str, subscribers: usize) -> Result<f64, Box<dyn Error>> {
    let operation = if subscribers > 1 { "share" } else { "stream" };
    let mut others = Vec::new();
    for _ in 0..subscribers {
        others.push(start(operation, name)?);
    }
    let node = node()?;
    let to = publisher(&channel(&node, name, STREAM_SLOTS)?, STREAM_BYTES)?;
    let ns = median_ns(LONG_BATCH_NS, || publish(&to, STREAM_BYTES, 0, false).unwrap());
    publish(&to, STREAM_BYTES, ABSENT, false)?;
    for mut other in others {
        other.wait()?;
    }
    Ok(ns)
}

/// Whoever shares a CPU and finds nothing lets the next one run.
fn consume(name: &str, share: bool) -> Done {
    let node = node()?;
    let from = channel(&node, name, STREAM_SLOTS)?.subscriber_builder().create()?;
    println!("ready");
    loop {
        match from.receive()? {
            Some(sample) if sample.payload()[0] == ABSENT => return Ok(()),
            None if share => std::thread::yield_now(),
            _ => {}
        }
    }
}

/// Makes a channel with its first publisher and subscriber, of a new node each
/// time or of one that is there.
fn create(name: &str, joins: bool) -> Result<f64, Box<dyn Error>> {
    let (mut each_ns, mut total_ns) = (Vec::new(), 0);
    let there = node()?;
    while total_ns < SERIES_NS || each_ns.len() < MIN_CREATES {
        let begin = Instant::now();
        let anew = if joins { Some(node()?) } else { None };
        let node = anew.as_ref().unwrap_or(&there);
        let channel = channel(node, &format!("{name}-{}", each_ns.len()), STREAM_SLOTS)?;
        let _to = publisher(&channel, STREAM_BYTES)?;
        let _from = channel.subscriber_builder().create()?;
        let took_ns = begin.elapsed().as_nanos();
        total_ns += took_ns;
        each_ns.push(took_ns as f64);
    }
    Ok(median(each_ns))
}

fn main() -> Done {
    set_log_level(LogLevel::Error);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [peer, operation, name] = &arguments[..] {
        assert_eq!(peer, "peer");
        stay_on(if operation == "event-here" { HERE } else { THERE });
        return match operation.as_str() {
            "event" | "event-here" => answer_events(name),
            "stream" | "share" => consume(name, operation == "share"),
            _ => answer_trips(name, operation == "fill"),
        };
    }
    stay_on(HERE);
    let [operation, argument] = &arguments[..] else {
        return Err("iceoryx2_peer OPERATION ARGUMENT".into());
    };
    let name = format!("shmd-bench-{}", std::process::id());
    let number: usize = argument.parse()?;
    let ns = match operation.as_str() {
        "trip" | "fill" => trip(&name, number, operation == "fill")?,
        "event" | "wake" => event(&name, number, operation == "wake")?,
        "stream" => stream(&name, number)?,
        "create" | "add" => create(&name, operation == "create")?,
        _ => return Err("no such operation".into()),
    };
    println!("{ns:.2}");
    Ok(())
}

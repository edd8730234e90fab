//! The rules of the client contract, with simulated time: no request takes any.

use std::net::Ipv4Addr;

use super::*;
use crate::{InstancePort, model::Urls};

const WALL: u64 = 1_700_000_000_000;

pub(in super::super) fn record() -> Record {
    Record {
        id: "rates-0:rates:8080:10.0.0.1".to_owned(),
        app: "RATES".to_owned(),
        host_name: "10.0.0.1".to_owned(),
        ip: Ipv4Addr::new(10, 0, 0, 1).into(),
        port: Some(8080),
        secure_port: None,
        vip: "rates".to_owned(),
        secure_vip: "rates".to_owned(),
        urls: Urls::default(),
        renewal: Duration::from_secs(30),
        lease: Duration::from_secs(90),
        metadata: std::collections::BTreeMap::new(),
    }
}

/// A machine, and what time it is.
struct Sim {
    machine: Machine,
    start: Instant,
    now: Instant,
}

impl Sim {
    fn new() -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(record(), Status::Up, now, WALL), start: now, now }
    }

    /// Settled at second 0.
    fn settled() -> Self {
        let mut sim = Self::new();
        sim.expect(Step::Register { dirty: WALL }, Outcome::Done);
        sim.expect(Step::Verify, ours());
        assert!(sim.machine.state.is_settled());
        sim
    }

    fn seconds(&self) -> u64 {
        (self.now - self.start).as_secs()
    }

    fn wall(&self) -> u64 {
        WALL + u64::try_from((self.now - self.start).as_millis()).unwrap()
    }

    /// Waits for the next step, and returns it with the second that it comes in.
    fn step(&mut self) -> (u64, Step) {
        loop {
            match self.machine.next(self.now) {
                Step::Wait(at) => {
                    assert!(at > self.now, "a wait for what is over would never end");
                    self.now = at;
                }
                step => return (self.seconds(), step),
            }
        }
    }

    fn answer(&mut self, step: &Step, outcome: Outcome) {
        let wall = self.wall();
        self.machine.done(step, outcome, self.now, wall);
    }

    #[expect(clippy::needless_pass_by_value, reason = "a step is written where it is expected")]
    fn expect(&mut self, wanted: Step, outcome: Outcome) {
        let (_, step) = self.step();
        assert_eq!(step, wanted);
        self.answer(&step, outcome);
    }

    fn set_status(&mut self, status: Status) {
        let wall = self.wall();
        self.machine.set_status(status, self.now, wall);
    }
}

fn held(ip: &str, port: u16, last_dirty: u64) -> Outcome {
    Outcome::Held(Box::new(Instance {
        ip_addr: Some(ip.to_owned()),
        port: Some(InstancePort { number: port, enabled: true }),
        secure_port: Some(InstancePort { number: 443, enabled: false }),
        last_dirty: Some(last_dirty),
        ..Instance::default()
    }))
}

fn ours() -> Outcome {
    held("10.0.0.1", 8080, WALL)
}

fn dirty_of(step: &Step) -> u64 {
    match step {
        Step::Register { dirty } | Step::Heartbeat { dirty } => *dirty,
        step => panic!("{step:?}"),
    }
}

#[test]
fn registered_read_back_then_a_heartbeat_each_interval() {
    let mut sim = Sim::settled();
    for second in [30, 60, 90] {
        assert_eq!(sim.step(), (second, Step::Heartbeat { dirty: WALL }));
        sim.answer(&Step::Heartbeat { dirty: WALL }, Outcome::Done);
    }
    assert!(sim.machine.state.is_settled());
}

/// 404 → register at once; an older time stamp would keep the old record (Netflix #802).
#[test]
fn a_heartbeat_that_is_unknown_registers_at_once_with_a_later_time() {
    let mut sim = Sim::settled();
    sim.expect(Step::Heartbeat { dirty: WALL }, Outcome::Unknown);
    assert!(!sim.machine.state.registered);
    let (second, step) = sim.step();
    assert_eq!((second, dirty_of(&step)), (30, WALL + 30_000));
    sim.answer(&step, Outcome::Done);
    sim.expect(Step::Verify, ours());
    assert_eq!(sim.step(), (60, Step::Heartbeat { dirty: WALL + 30_000 }), "one interval after the registration");
    assert_eq!(sim.machine.state.lost, 1);
}

#[test]
fn a_clock_that_goes_back_does_not_take_the_time_stamp_with_it() {
    let mut sim = Sim::settled();
    let beat = sim.step().1;
    let now = sim.now;
    sim.machine.done(&beat, Outcome::Unknown, now, WALL - 3_600_000);
    assert_eq!(dirty_of(&sim.step().1), WALL + 1);
}

/// The Java client takes a failed registration for one; ours goes on, after 1, 2, 4 ... s, a third of the lease at most.
#[test]
fn a_registration_that_fails_is_tried_again() {
    let mut sim = Sim::new();
    let mut seconds = Vec::new();
    for _ in 0..8 {
        let (second, step) = sim.step();
        assert_eq!(step, Step::Register { dirty: WALL });
        seconds.push(second);
        sim.answer(&step, Outcome::Failed);
    }
    assert_eq!(seconds, [0, 1, 3, 7, 15, 31, 61, 91]);
    assert!(sim.machine.may_be_known() && !sim.machine.state.registered);
}

#[test]
fn an_outage_keeps_beating_and_reads_the_record_back_after_it() {
    let mut sim = Sim::settled();
    let mut seconds = Vec::new();
    for _ in 0..7 {
        let (second, step) = sim.step();
        assert_eq!(step, Step::Heartbeat { dirty: WALL });
        seconds.push(second);
        sim.answer(&step, Outcome::Failed);
    }
    assert_eq!(seconds, [30, 31, 33, 37, 45, 61, 91], "never longer than a third of the lease apart");
    sim.expect(Step::Heartbeat { dirty: WALL }, Outcome::Done);
    sim.expect(Step::Verify, ours());
    assert!(sim.machine.state.is_settled());
}

/// Another node behind the same URL, that the record has not reached yet.
#[test]
fn a_record_that_cannot_be_read_back_yet_is_asked_for_again_after_a_heartbeat() {
    let mut sim = Sim::new();
    sim.expect(Step::Register { dirty: WALL }, Outcome::Done);
    sim.expect(Step::Verify, Outcome::Unknown);
    assert!(sim.machine.state.registered && !sim.machine.state.verified);
    assert_eq!(sim.step(), (30, Step::Verify));
    sim.answer(&Step::Verify, Outcome::Unknown);
    sim.expect(Step::Heartbeat { dirty: WALL }, Outcome::Done);
    sim.expect(Step::Verify, ours());
    assert!(sim.machine.state.is_settled());
}

/// A dead pod's record of the same id, with a clock that was ahead.
#[test]
fn a_foreign_record_is_overwritten_by_a_later_one() {
    let mut sim = Sim::new();
    sim.expect(Step::Register { dirty: WALL }, Outcome::Done);
    sim.expect(Step::Verify, held("10.0.0.9", 8080, WALL + 7_200_000));
    let (second, step) = sim.step();
    assert_eq!((second, dirty_of(&step)), (0, WALL + 7_200_001));
    sim.answer(&step, Outcome::Done);
    sim.expect(Step::Verify, ours());
    assert_eq!(sim.machine.state.conflicts, 1);
    assert!(sim.machine.state.is_settled());
}

#[test]
fn two_pods_with_one_id_do_not_fight_without_pause() {
    let mut sim = Sim::new();
    let mut registrations = Vec::new();
    for _ in 0..6 {
        let (second, step) = sim.step();
        assert!(matches!(step, Step::Register { .. }), "{step:?}");
        registrations.push(second);
        sim.answer(&step, Outcome::Done);
        sim.expect(Step::Verify, held("10.0.0.1", 9090, WALL));
    }
    assert_eq!(registrations, [0, 0, 0, 30, 60, 90]);
}

#[test]
fn a_status_is_registered_and_too_many_wait_for_the_periodic_run() {
    let mut sim = Sim::settled();
    sim.now += Duration::from_secs(1);
    for (status, second) in [(Status::Down, 1), (Status::Up, 1), (Status::Down, 31)] {
        sim.set_status(status);
        let (at, step) = sim.step();
        assert_eq!(at, second, "{status}");
        assert!(matches!(step, Step::Register { .. }), "{step:?}");
        sim.answer(&step, Outcome::Done);
        sim.expect(Step::Verify, ours());
        assert_eq!(sim.machine.state.status, status);
    }
}

#[test]
fn the_same_status_and_unknown_change_nothing() {
    let mut sim = Sim::settled();
    sim.set_status(Status::Up);
    sim.set_status(Status::Unknown);
    assert_eq!(sim.step(), (30, Step::Heartbeat { dirty: WALL }));
}

/// Re-registering OUT_OF_SERVICE while UP is ignored, and the other way round.
#[test]
fn out_of_service_is_an_override() {
    let mut sim = Sim::settled();
    sim.set_status(Status::OutOfService);
    assert!(sim.machine.state.pending);
    sim.expect(Step::PutOverride(Status::OutOfService), Outcome::Done);
    assert!(sim.machine.state.is_settled());
    sim.set_status(Status::Up);
    sim.expect(Step::PutOverride(Status::Up), Outcome::Done);
    sim.expect(Step::RemoveOverride(Status::Up), Outcome::Done);
    assert!(sim.machine.state.is_settled());
    assert_eq!(sim.step(), (30, Step::Heartbeat { dirty: WALL }), "nothing to register");
}

#[test]
fn out_of_service_then_down_registers_and_takes_the_override_away() {
    let mut sim = Sim::settled();
    sim.set_status(Status::OutOfService);
    sim.expect(Step::PutOverride(Status::OutOfService), Outcome::Done);
    sim.set_status(Status::Down);
    sim.expect(Step::Register { dirty: WALL + 1 }, Outcome::Done);
    sim.expect(Step::PutOverride(Status::Down), Outcome::Done);
    sim.expect(Step::RemoveOverride(Status::Down), Outcome::Done);
    sim.expect(Step::Verify, ours());
}

#[test]
fn a_registry_that_forgets_the_pod_is_told_the_override_again() {
    let mut sim = Sim::settled();
    sim.set_status(Status::OutOfService);
    sim.expect(Step::PutOverride(Status::OutOfService), Outcome::Done);
    sim.expect(Step::Heartbeat { dirty: WALL }, Outcome::Unknown);
    sim.expect(Step::Register { dirty: WALL + 30_000 }, Outcome::Done);
    sim.expect(Step::PutOverride(Status::OutOfService), Outcome::Done);
    sim.expect(Step::Verify, ours());
}

/// `AbstractInstanceRegistry.statusUpdate` does nothing where the status is that already: there is no override then.
#[test]
fn who_registers_out_of_service_comes_back_all_the_same() {
    let mut sim = Sim::new();
    sim.set_status(Status::OutOfService);
    sim.expect(Step::Register { dirty: WALL }, Outcome::Done);
    sim.set_status(Status::Up);
    sim.expect(Step::PutOverride(Status::Up), Outcome::Done);
    sim.expect(Step::RemoveOverride(Status::Up), Outcome::Done);
    sim.expect(Step::Verify, ours());
}

/// Its answer was lost, as it may be.
#[test]
fn an_override_that_may_have_arrived_is_taken_away() {
    let mut sim = Sim::settled();
    sim.set_status(Status::OutOfService);
    sim.expect(Step::PutOverride(Status::OutOfService), Outcome::Failed);
    sim.set_status(Status::Up);
    sim.expect(Step::PutOverride(Status::Up), Outcome::Done);
    sim.expect(Step::RemoveOverride(Status::Up), Outcome::Done);
    assert!(sim.machine.state.is_settled());
}

#[test]
fn an_override_that_was_never_sent_is_none() {
    let mut sim = Sim::settled();
    sim.set_status(Status::OutOfService);
    sim.set_status(Status::Up);
    let (_, step) = sim.step();
    assert_eq!(step, Step::Register { dirty: WALL + 1 });
    sim.answer(&step, Outcome::Done);
    sim.expect(Step::Verify, ours());
    assert!(sim.machine.state.is_settled());
}

#[test]
fn metadata_is_put_and_registered_where_that_fails() {
    let mut sim = Sim::settled();
    sim.machine.set_metadata(vec![("a".to_owned(), Some("1".to_owned()))], WALL);
    let keys = || BTreeSet::from(["a".to_owned()]);
    sim.expect(Step::Metadata(keys()), Outcome::Done);
    assert!(sim.machine.state.is_settled());

    sim.machine.set_metadata(vec![("a".to_owned(), Some("2".to_owned()))], WALL);
    sim.expect(Step::Metadata(keys()), Outcome::Failed);
    let (second, step) = sim.step();
    assert!(matches!(step, Step::Register { .. }) && second == 1, "{second} {step:?}");
    assert_eq!(sim.machine.record.metadata["a"], "2");
    sim.answer(&step, Outcome::Done);
    sim.expect(Step::Verify, ours());
    assert!(sim.machine.state.is_settled(), "all of it was in the record");
}

/// A registry only adds.
#[test]
fn metadata_that_is_taken_out_is_registered() {
    let mut sim = Sim::settled();
    sim.machine.set_metadata(vec![("a".to_owned(), Some("1".to_owned()))], WALL);
    sim.expect(Step::Metadata(BTreeSet::from(["a".to_owned()])), Outcome::Done);
    sim.machine.set_metadata(vec![("a".to_owned(), None), ("never".to_owned(), None)], WALL);
    assert!(matches!(sim.step().1, Step::Register { .. }));
    assert!(sim.machine.record.metadata.is_empty());
}

#[test]
fn a_short_lease_shortens_the_pauses() {
    let now = Instant::now();
    let record = Record { renewal: Duration::from_secs(10), lease: Duration::from_secs(12), ..record() };
    let mut sim = Sim { machine: Machine::new(record, Status::Up, now, WALL), start: now, now };
    let mut seconds = Vec::new();
    for _ in 0..5 {
        let (second, step) = sim.step();
        seconds.push(second);
        sim.answer(&step, Outcome::Failed);
    }
    assert_eq!(seconds, [0, 1, 3, 7, 11]);
}

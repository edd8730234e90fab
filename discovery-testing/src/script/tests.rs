use super::*;

fn query(name: &str, qtype: QType, transport: Transport) -> ReceivedQuery {
    ReceivedQuery { name: name.to_owned(), qtype, transport, from: ([127, 0, 0, 1], 9).into(), dropped: false }
}

fn udp(name: &str) -> ReceivedQuery {
    query(name, QType::A, Transport::Udp)
}

#[test]
fn empty_script_changes_nothing() {
    assert_eq!(Script::default().decide(&udp("a.")), Verdict::default());
}

#[test]
fn matches_by_name_type_and_transport() {
    let mut script = Script::default();
    let rule = Rule::any().name("A.b").qtype(QType::SRV);
    script.add(rule.over(Transport::Tcp).drop());
    for (name, qtype, transport, action) in [
        ("a.b.", QType::SRV, Transport::Tcp, Action::Drop),
        ("b.", QType::SRV, Transport::Tcp, Action::Answer),
        ("a.b.", QType::A, Transport::Tcp, Action::Answer),
        ("a.b.", QType::SRV, Transport::Udp, Action::Answer),
    ] {
        assert_eq!(script.decide(&query(name, qtype, transport)).action, action);
    }
}

#[test]
fn rules_apply_one_after_another_as_they_are_used_up() {
    let mut script = Script::default();
    script.add(Rule::any().after(1).times(2).drop());
    script.add(Rule::any().times(2).servfail());
    script.add(Rule::any().refuse());
    let seen: Vec<Action> = (0..5).map(|_| script.decide(&udp("a.")).action).collect();
    let (drop, fail) = (Action::Drop, Action::ServFail);
    assert_eq!(seen, [fail.clone(), drop.clone(), drop, fail, Action::Refuse]);
}

#[test]
fn truncation_applies_to_udp_only() {
    let mut script = Script::default();
    script.add(Rule::any().truncate());
    let over_tcp = query("a.", QType::A, Transport::Tcp);
    assert_eq!(script.decide(&over_tcp).action, Action::Answer);
    assert_eq!(script.decide(&udp("a.")).action, Action::Truncate(0));
}

#[test]
#[should_panic(expected = "a raw answer of 1 octets cannot be sent: it must have 2 to 65535")]
fn panic_names_the_length_of_an_answer_without_room_for_an_id() {
    let _ = Rule::any().raw_with_id([7]);
}

#[test]
#[should_panic(expected = "a raw answer of 65536 octets cannot be sent: it must have 0 to 65535")]
fn panic_names_the_length_of_an_answer_that_tcp_cannot_frame() {
    let _ = Rule::any().raw(vec![0; 65_536]);
}

#[test]
fn delay_and_ttl_combine_with_any_action() {
    let mut script = Script::default();
    let id = script.add(Rule::any().delay(Duration::from_secs(1)).ttl(7).nodata());
    let verdict = script.decide(&udp("a."));
    assert_eq!(verdict.delay, Duration::from_secs(1));
    assert_eq!((verdict.ttl, verdict.action), (Some(7), Action::NoData));
    assert!(script.remove(id));
    assert!(!script.remove(id));
}

use harness::Icinga2;

#[test]
fn x() {
    let Some(icinga) = Icinga2::start("a", "", &[]) else {
        return;
    };
    icinga.wait_for_rows("hosts", &[], 0);
}

//! Runs one scenario of `hitless::bench` for callgrind to count. `hitless-instructions SCENARIO ROUNDS` prints the number of
//! commands.

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, scenario, rounds] = &arguments[..] else { panic!("a scenario, and a number of rounds") };
    println!("{}", hitless::bench::run(scenario, rounds.parse().expect("a number"), &mut |_| ()));
}

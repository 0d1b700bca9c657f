//! One scenario of `hitless::bench`, for callgrind to count: `hitless-instructions SCENARIO ROUNDS` prints how many
//! commands were in it.

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, scenario, rounds] = &arguments[..] else { panic!("a scenario, and a number of rounds") };
    println!("{}", hitless::bench::run(scenario, rounds.parse().expect("a number"), &mut |_| ()));
}

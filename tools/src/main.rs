fn main() {
    let a: Vec<std::path::PathBuf> = std::env::args().skip(1).map(Into::into).collect();
    let s = tickpath_tools::offline::book::run(&a, |_| {});
    println!("{s:?}");
}

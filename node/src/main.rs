//! The Callbook peer.

fn main() -> std::process::ExitCode {
    callbook::main()
}

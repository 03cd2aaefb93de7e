//! Says whether asciinema's player is there to be embedded: `make player` fetches it. Nothing is needed of it to build.

use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(player)");
    println!("cargo::rerun-if-changed=player");
    if Path::new("player/node_modules/asciinema-player/dist/bundle/asciinema-player.min.js").is_file() {
        println!("cargo::rustc-cfg=player");
    }
}

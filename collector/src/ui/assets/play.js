// Plays a terminal with asciinema's player, which the page has loaded before this.

for (const place of document.querySelectorAll("[data-player]")) {
  const player = AsciinemaPlayer.create(place.dataset.player, place, {
    fit: "width", preload: true, idleTimeLimit: 2, poster: "npt:3600", terminalFontSize: "14px",
  });
  player.addEventListener("ended", () => place.setAttribute("data-ended", ""));
}

// The only script: it fills the panel of the devices' page. Without it the page
// works all the same.
const panel = document.getElementById("live");
const state = panel.querySelector(".state");
const list = panel.querySelector("ol");
const source = new EventSource(panel.dataset.from);

function ended(text) {
  source.close();
  panel.dataset.state = "ended";
  state.textContent = text + " ";
  const link = document.createElement("a");
  link.href = "/devices";
  link.textContent = "Sign in again";
  state.append(link);
}

source.addEventListener("open", () => { panel.dataset.state = "open"; });
source.addEventListener("news", (e) => {
  const item = document.createElement("li");
  item.textContent = e.data + " ";
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  item.append(time);
  list.prepend(item);
  while (list.children.length > 8) list.lastChild.remove();
});
source.addEventListener("open", (e) => { if (e.data) state.textContent = e.data; });
source.addEventListener("ended", (e) => ended(e.data));
source.addEventListener("error", () => {
  if (source.readyState === EventSource.CLOSED) return ended("This panel cannot be opened any longer.");
  panel.dataset.state = "waiting";
  state.textContent = "The connection is lost. Trying again.";
});

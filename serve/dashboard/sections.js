// The sections of the page.

import { acts } from "./acts.js";
import { curves } from "./curves.js";
import { h } from "./dom.js";
import { evidence } from "./evidence.js";
import { address, history, replay } from "./history.js";
import { aside, disagreements, likeness } from "./likeness.js";
import { PHASES, missing, over } from "./rollout.js";
import { routes } from "./routes.js";
import { sentence } from "./sentence.js";
import { start } from "./start.js";
import { meters, stepper } from "./stepper.js";
import { entriesOf, trail } from "./trail.js";
import { variants } from "./variants.js";
import { ago, moment, said } from "./words.js";

/** All sections for the data of a model. */
export function sections(picture, desk, now_s) {
  const { model, view, rollouts } = picture;
  const newest = !view || rollouts[0]?.rollout === view.rollout.rollout;
  const latest = h("a", { href: address(model, null) }, "Show the latest one");
  return [
    !newest && h("p.notice", null, "This is an earlier rollout. ", latest),
    (view?.warnings ?? []).map((warning) => h("p.notice", null, warning)),
    hero(picture, desk, now_s, newest),
    h(
      "div.columns",
      null,
      h("div.wide", null, wide(picture, desk, now_s)),
      h("div.side", null, side(picture, desk, now_s, newest)),
    ),
  ];
}

function wide({ detail, view, curves: found, trail: { entries } }, desk, now_s) {
  const pairs = () => [h("h4", null, "Latest pairs that differ"), disagreements(view, now_s)];
  const candidate = view && !over(view.rollout.phase) ? view.rollout.plan.candidate : null;
  const others = aside(detail, candidate);
  return [
    card("Variants", variants(detail, view, found)),
    view && verdictCard(view, now_s),
    card("Last ten minutes", curves(detail, view, found, entries, now_s, desk.draw)),
    (view || others.length > 0) && card("Shadow", others, ...(view ? [likeness(view), pairs()] : [])),
  ];
}

function side({ model, detail, view, rollouts, running, trail: known }, desk, now_s, newest) {
  const id = view?.rollout.rollout;
  const entries = entriesOf(known.entries, view, newest);
  return [
    card("Routes", routes(model, detail, running, desk)),
    card(
      "Timeline",
      trail(entries, now_s, known.after > 0 && desk.earlier),
      view && h("div.replay", null, replay(id, desk.replay(), desk.startReplay)),
    ),
    card("Rollouts", history(model, rollouts, id, now_s)),
  ];
}

function card(title, ...content) {
  const id = `title-${title.toLowerCase().replaceAll(" ", "-")}`;
  return h("section.card", { "data-key": title, "aria-labelledby": id }, h("h3", { id }, title), content);
}

function hero({ model, detail, view, running }, desk, now_s, newest) {
  const { tone, main, rest } = sentence(detail, view);
  return h(
    `section.hero.tone-${tone}`,
    { "data-key": "hero", "aria-label": "State" },
    h("p.badge", null, badge(view), view && h("code", null, view.rollout.rollout)),
    h("h2", { id: "state" }, main, " ", h("span.rest", null, rest)),
    view && stepper(view),
    view && meters(view, now_s),
    h("div.acts", null, view && newest && acts(view, desk), newest && !running && startButton(model, detail, desk)),
  );
}

function badge(view) {
  const phase = view?.rollout.phase;
  return h(`span.phase.phase-${phase ?? "NONE"}`, null, PHASES[phase] ?? "No rollout");
}

function startButton(model, detail, desk) {
  if (Object.keys(detail.variants).length < 2)
    return h("p.soft", null, "There is no other variant for a rollout; load one first.");
  return h(
    "button.main",
    { type: "button", "data-key": "start", onclick: () => start(model, detail, desk) },
    "Start a rollout …",
  );
}

function verdictCard(view, now_s) {
  const { verdict, judged_s, rollout } = view;
  if (!verdict)
    return card("Evidence", h("p.empty", null, "No verdict yet: the first one follows the first counts."));
  return card(
    "Evidence",
    h(
      "p.verdict",
      null,
      h(`b.kind-${verdict.kind}`, null, verdict.kind),
      h(
        "time.soft",
        { title: moment(judged_s) },
        ` ${over(rollout.phase) ? "the last verdict, " : ""}${ago(judged_s, now_s)}`,
      ),
      verdict.kind === "CONTINUE" && h("span.soft", null, ", still missing:"),
    ),
    h(
      "ul.waits",
      null,
      because(verdict).map((item) => h("li", null, said(item))),
    ),
    (view.advice ?? []).map((advice) => h("p.notice", null, said(advice))),
    evidence(verdict, rollout.plan.policy),
  );
}

/** The reason in pieces; the evidence of a PROMOTE is in the figures below. */
function because(verdict) {
  if (verdict.kind === "CONTINUE") return missing(verdict);
  return [verdict.kind === "PROMOTE" ? verdict.reason.replace(/:.*/s, "") : verdict.reason];
}

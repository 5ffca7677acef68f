// The sections of the page.

import { acts } from "./action_buttons.js";
import { curves } from "./curves.js";
import { h } from "./dom.js";
import { evidence } from "./evidence.js";
import { address, history, replay } from "./history.js";
import { otherShadows, disagreements, likeness } from "./shadow_comparison.js";
import { PHASES, missing, over } from "./rollout.js";
import { routes } from "./routes.js";
import { sentence } from "./sentence.js";
import { start } from "./start.js";
import { meters, stepper } from "./stepper.js";
import { entriesOf, trail } from "./trail.js";
import { variants } from "./variants.js";
import { ago, moment, formatNumbers } from "./format.js";

/** All sections for the data of a model. */
export function sections(data, page, now_s) {
  const { model, view, rollouts } = data;
  const newest = !view || rollouts[0]?.rollout === view.rollout.rollout;
  const latest = h("a", { href: address(model, null) }, "Show the latest one");
  return [
    !newest && h("p.notice", null, "This is an earlier rollout. ", latest),
    (view?.warnings ?? []).map((warning) => h("p.notice", null, warning)),
    hero(data, page, now_s, newest),
    h(
      "div.columns",
      null,
      h("div.wide", null, wide(data, page, now_s)),
      h("div.side", null, side(data, page, now_s, newest)),
    ),
  ];
}

function wide({ detail, view, curves: series, trail: { entries } }, page, now_s) {
  const pairs = () => [h("h4", null, "Latest pairs that differ"), disagreements(view, now_s)];
  const candidate = view && !over(view.rollout.phase) ? view.rollout.plan.candidate : null;
  const others = otherShadows(detail, candidate);
  return [
    card("Variants", variants(detail, view, series)),
    view && verdictCard(view, now_s),
    card("Last ten minutes", curves(detail, view, series, entries, now_s, page.draw)),
    (view || others.length > 0) && card("Shadow", others, ...(view ? [likeness(view, detail), pairs()] : [])),
  ];
}

function side({ model, detail, view, rollouts, running, trail: loaded }, page, now_s, newest) {
  const id = view?.rollout.rollout;
  const entries = entriesOf(loaded.entries, view, newest);
  return [
    card("Routes", routes(model, detail, running, page)),
    card(
      "Timeline",
      trail(entries, now_s, loaded.after > 0 && page.earlier),
      view && h("div.replay", null, replay(id, page.replay(), page.startReplay)),
    ),
    card("Rollouts", history(model, rollouts, id, now_s)),
  ];
}

function card(title, ...content) {
  const id = `title-${title.toLowerCase().replaceAll(" ", "-")}`;
  return h("section.card", { "data-key": title, "aria-labelledby": id }, h("h3", { id }, title), content);
}

function hero({ model, detail, view, running }, page, now_s, newest) {
  const { tone, main, rest } = sentence(detail, view);
  return h(
    `section.hero.tone-${tone}`,
    { "data-key": "hero", "aria-label": "State" },
    h("p.badge", null, badge(view), view && h("code", null, view.rollout.rollout)),
    h("h2", { id: "state" }, main, " ", h("span.rest", null, rest)),
    view && stepper(view),
    view && meters(view, now_s),
    h("div.acts", null, view && newest && acts(view, page), newest && !running && startButton(model, detail, page)),
  );
}

function badge(view) {
  const phase = view?.rollout.phase;
  return h(`span.phase.phase-${phase ?? "NONE"}`, null, PHASES[phase] ?? "No rollout");
}

function startButton(model, detail, page) {
  if (Object.keys(detail.variants).length < 2)
    return h("p.soft", null, "There is no other variant for a rollout; load one first.");
  return h(
    "button.main",
    { type: "button", "data-key": "start", onclick: () => start(model, detail, page) },
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
      because(verdict).map((item) => h("li", null, formatNumbers(item))),
    ),
    (view.advice ?? []).map((advice) => h("p.notice", null, formatNumbers(advice))),
    evidence(verdict, rollout.plan.policy),
  );
}

/** The reason in pieces; the evidence of a PROMOTE is in the figures below. */
function because(verdict) {
  if (verdict.kind === "CONTINUE") return missing(verdict);
  return [verdict.kind === "PROMOTE" ? verdict.reason.replace(/:.*/s, "") : verdict.reason];
}

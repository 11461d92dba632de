# SPDX-License-Identifier: Apache-2.0
"""Results of works as JSON, as a table in Markdown, and as a chart in SVG.

A result is {"title", "command", "rounds", "programs": [{"name", "median", "min", "max", "cpu", "peak_mb"} or {"name", "failure"}],
"marks": [{"text", "met"}]}.
"""
import html
import json
import os
import statistics


MET = {True: "Met", False: "**Missed**", None: "Not measured"}


def of_program(program):
    if program.failure:
        return {"name": program.name, "failure": next((line for line in program.failure.splitlines() if "rror" in line), program.failure)[:200]}
    return {"name": program.name, "median": round(program.median(), 4), "min": round(min(program.seconds), 4),
            "max": round(max(program.seconds), 4), "cpu": round(statistics.median(program.processor_seconds), 4),
            "peak_mb": round(max(program.peak_bytes) / 1e6)}


def read(path):
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write(folder, name, heading, results):
    os.makedirs(folder, exist_ok=True)
    for ending, text in (("json", json.dumps(results, indent=1) + "\n"), ("md", markdown(heading, results)),
                         ("svg", chart(results))):
        with open(os.path.join(folder, f"{name}.{ending}"), "w", encoding="utf-8") as file:
            file.write(text)


def markdown(heading, results):
    lines = [heading]
    for result in results.values():
        timed = [program for program in result["programs"] if "median" in program]
        first = timed[0]
        lines += [f"## {result['title']}", "",
                  f"`{result['command']}`, {result['rounds']} rounds. Times are wall seconds; the ratio is to the first line.", "",
                  "| | median | fastest | slowest | cpu | peak MB | ratio |", "|---|---|---|---|---|---|---|"]
        lines += [f"| {program['name']} | {program['median']:.3f} | {program['min']:.3f} | {program['max']:.3f} | {program['cpu']:.2f} | "
                  f"{program['peak_mb']} | {program['median'] / first['median']:.2f} |" for program in timed]
        lines += [f"| {program['name']} | failed | | | | | |" for program in result["programs"] if "failure" in program]
        lines += [""] + [f"- {MET[mark['met']]}: {mark['text']}" for mark in result["marks"]] + [""]
    return "\n".join(lines)


def chart(results):
    """A bar for each program, as long as its share of the slowest of its work."""
    bar, label, row, pieces, y = 420, 330, 18, [], 10
    for result in results.values():
        pieces.append(f'<text x="10" y="{y + 14}" font-weight="bold">{html.escape(result["title"])}</text>')
        y += row + 4
        timed = [program for program in result["programs"] if "median" in program]
        slowest = max(program["median"] for program in timed)
        for program in timed:
            width = max(1.0, bar * program["median"] / slowest)
            colour = "#2a6fb0" if program["name"].startswith("Glim") else "#b8b8b8"
            pieces.append(f'<text x="{label - 8}" y="{y + 13}" text-anchor="end">{html.escape(program["name"])}</text>'
                          f'<rect x="{label}" y="{y + 2}" width="{width:.1f}" height="{row - 4}" fill="{colour}"/>'
                          f'<text x="{label + width + 6:.1f}" y="{y + 13}">{program["median"]:.3g} s</text>')
            y += row
        y += 12
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{label + bar + 80}" height="{y}" font-family="sans-serif" font-size="12">\n'
            '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(pieces) + "\n</svg>\n")

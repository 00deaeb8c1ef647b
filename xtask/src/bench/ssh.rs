//! One task over SSH, beside the least that Ansible can do there: `ansible.builtin.raw` with `true`.

use super::{fresh_world, median};
use crate::chore::step;
use crate::{prepare, unpacked};
use anyhow::{Result, ensure};
use e2e::{Controller, Guest, Host, Ssh, can_ssh, fleet_cards};
use serde_json::{Value, json};
use std::time::Instant;

/// Start-up of Ansible and of the connection is in every play, so only the difference of these counts.
const FEW: usize = 5;
const MANY: usize = 35;
const ROUNDS: usize = 3;

/// A task and how it is measured.
struct Row {
    what: &'static str,
    host: &'static str,
    /// Run before each of it, and its time taken off.
    before: Option<&'static str>,
    task: Value,
}

/// Measures and prints a table.
///
/// # Errors
/// If something cannot be prepared or run.
pub fn ssh() -> Result<()> {
    prepare::prepare_what_ships()?;
    unpacked::guest_system();
    ensure!(can_ssh("the benchmark"), "there is nothing to measure");
    let world = fresh_world()?;
    let guests = [
        Guest::start(&world, "bare", "machine1", &fleet_cards())?,
        Guest::start(&world, "python", "machine1", &fleet_cards())?,
    ];
    let servers = [Ssh::start(&world, &guests[0], 1)?, Ssh::start_with_python(&world, &guests[1], 2)?];
    let python = json!({"ansible_python_interpreter": "/usr/bin/python3", "ansible_pipelining": true});
    let hosts = [servers[0].host("bare", "root"), servers[1].host("python", "root").with(python)];
    let controller = Controller::new(&world.path("c"), &Host::controller(), &hosts, &json!({}))?;

    let facts = json!({"seguest.pv.facts": {}});
    let row = |what, task| Row { what, host: "bare", before: None, task };
    let rows = [
        row("ansible.builtin.raw true", json!({"ansible.builtin.raw": "true"})),
        row("facts, from the cache", facts.clone()),
        row("secret_add of nothing, from the cache", json!({"seguest.pv.secret_add": {"requests": []}})),
        Row { before: Some("rm -rf /root/.cache"), ..row("facts, sent first", facts) },
        Row {
            host: "python",
            ..row("ansible.builtin.command true, pipelining", json!({"ansible.builtin.command": "true"}))
        },
    ];
    let mut measured = vec![Vec::new(); rows.len()];
    for round in 1..=ROUNDS {
        step(&format!("Measuring, round {round} of {ROUNDS}"), || {
            for (row, times) in rows.iter().zip(&mut measured) {
                times.push(seconds(&controller, row)?);
            }
            Ok(())
        })?;
    }
    println!("\none task over SSH on the loopback, {} tasks in a play, medians of {ROUNDS}:", MANY - FEW);
    println!("                                                    ms a task   times raw");
    for (row, times) in rows.iter().zip(&measured) {
        // Of one round each, so that what else the machine did is in both.
        let ratios = times.iter().zip(&measured[0]).map(|(time, raw)| time / raw).collect();
        println!("    {:<44}    {:>9.1}   {:>9.2}", row.what, median(times.clone()) * 1e3, median(ratios));
    }
    println!(
        "Aim: from the cache at most 1.15. The architecture is asked anew in each task, so that is without knowing it."
    );
    println!("command needs Python, so it ran in another guest that has one.");
    Ok(())
}

fn seconds(controller: &Controller, row: &Row) -> Result<f64> {
    let of = |task: &Value, before: Option<&str>| -> Result<f64> {
        let one = before.map(|command| json!({"ansible.builtin.raw": command})).into_iter().chain([task.clone()]);
        let one: Vec<_> = one.collect();
        let play = |count: usize| -> Result<f64> {
            let tasks: Vec<_> = std::iter::repeat_n(&one, count).flatten().collect();
            let started = Instant::now();
            let play = controller.tasks(row.host, &json!(tasks), &[])?;
            let seconds = started.elapsed().as_secs_f64();
            ensure!(play.ok, "{}: {}", row.what, play.output);
            Ok(seconds)
        };
        // The first opens the connection and fills the cache, if it is one that stays.
        let few = play(FEW)?;
        Ok((play(MANY)? - few) / (MANY - FEW) as f64)
    };
    let whole = of(&row.task, row.before)?;
    Ok(match row.before {
        Some(before) => whole - of(&json!({"ansible.builtin.raw": before}), None)?,
        None => whole,
    })
}

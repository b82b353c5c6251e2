//! Completion scripts, and what the help says.

use std::process::{Command, Stdio};

use crate::support::process::Sandbox;

#[test]
fn every_shell_has_a_script() {
    let sandbox = Sandbox::new();
    for (shell, begin) in [
        ("bash", "_taskwire()"),
        ("zsh", "#compdef taskwire"),
        ("fish", "# Print an optspec"),
        ("elvish", "\nuse builtin"),
        ("powershell", "\nusing namespace"),
    ] {
        let ended = sandbox.run(["completions", shell]);
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(ended.stdout.starts_with(begin), "{shell}: {}", &ended.stdout[..80]);
        for word in ["restore", "whoami", "no-due", "password-file"] {
            assert!(ended.stdout.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(sandbox.run(["completions", "cmd"]).status, Some(64));
    assert_eq!(sandbox.run(["completions"]).status, Some(64));
}

#[test]
fn bash_completes_with_it() {
    let sandbox = Sandbox::new();
    let script = sandbox.write("taskwire.bash", &sandbox.run(["completions", "bash"]).stdout);
    let complete = |words: &str| {
        let line = format!(
            "set -e; source {script}; complete -p taskwire >/dev/null; COMP_WORDS=({words}); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _taskwire taskwire \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\" || true; \
             echo \"${{COMPREPLY[@]}}\""
        );
        let output =
            Command::new("bash").args(["--norc", "-c", &line]).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("taskwire tas"), "task");
    assert_eq!(complete("taskwire task re"), "restore");
    assert_eq!(complete("taskwire task add --prio"), "--priority");
    assert_eq!(complete("taskwire task add --priority ''"), "low medium high");
    assert_eq!(complete("taskwire lo"), "login logout");
}

#[test]
fn every_command_of_a_caller_shows_how_it_is_used() {
    let sandbox = Sandbox::new();
    let commands =
        ["add", "list", "show", "done", "edit", "rm", "restore", "watch", "undo", "log", "rollback"];
    let mut all: Vec<Vec<&str>> = commands.iter().map(|command| vec!["task", command]).collect();
    all.extend([vec!["task"], vec!["login"], vec!["logout"], vec!["register"], vec!["whoami"]]);
    for command in all {
        for help in ["--help", "-h"] {
            let ended = sandbox.run(command.iter().copied().chain([help]));
            assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{command:?}");
            let (_, examples) = ended.stdout.split_once("\nExamples:\n").expect("there are no examples");
            let line = format!("  taskwire {} ", command.join(" "));
            let shown = examples.lines().any(|example| format!("{example} ").starts_with(&line));
            assert!(shown, "{command:?}: {examples}");
        }
    }
}

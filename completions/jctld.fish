# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_jctld_global_optspecs
    string join \n settings= config= json h/help V/version
end

function __fish_jctld_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_jctld_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_jctld_using_subcommand
    set -l cmd (__fish_jctld_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c jctld -n "__fish_jctld_needs_command" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_needs_command" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_needs_command" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_needs_command" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_needs_command" -s V -l version -d 'Print version'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "dev" -d 'A whole private cluster on this machine, without root'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "run" -d 'Serve'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "init" -d 'Make a new cluster: CA, state folder, settings'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "status" -d 'How the controller is'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "verify" -d 'Check the store: through the running daemon, or a folder'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "stop" -d 'End in order'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "user" -d 'Users'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "ca" -d 'Certificates'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "account" -d 'Accounts: who may submit in whose name, as a tree'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "qos" -d 'Qualities of service'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "config" -d 'The cluster\'s configuration as one TOML file'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "audit" -d 'Who did what'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "backup" -d 'Write a backup through the running daemon'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "export" -d 'Write the state anew now, as the daemon does by itself when the journal has grown enough'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "restore" -d 'Make a controller from a backup'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "accept" -d 'Let nodes obey this incarnation after a restore'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "upgrade" -d 'Rolling upgrade (not supported yet)'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "reload" -d 'Read the settings again (not supported yet)'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "doctor" -d 'What is wrong on this machine'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "simulate" -d 'Schedule a trace in virtual time'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "replay" -d 'Play a trace through a real cluster of virtual nodes (not supported yet)'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "plan" -d 'Put jobs of known times on nodes so that all are done as early as can be; prints JSON'
complete -c jctld -n "__fish_jctld_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jctld -n "__fish_jctld_using_subcommand dev" -l dir -d 'Everything stays below this folder' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand dev" -l nodes -d 'How many node daemons' -r
complete -c jctld -n "__fish_jctld_using_subcommand dev" -l cpus -d 'Cpus of each node; by default what the machine has' -r
complete -c jctld -n "__fish_jctld_using_subcommand dev" -l virtual -d 'So many virtual nodes, which run nothing' -r
complete -c jctld -n "__fish_jctld_using_subcommand dev" -l set -d 'Override a setting: node_timeout=3s' -r
complete -c jctld -n "__fish_jctld_using_subcommand dev" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand dev" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand dev" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand dev" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand run" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand run" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand run" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand run" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand init" -l advertise -d 'Under which name or address others reach this machine' -r
complete -c jctld -n "__fish_jctld_using_subcommand init" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand init" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand init" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand init" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand status" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand status" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand status" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand status" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand verify" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand verify" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand verify" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand verify" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand stop" -l for -d 'For how long: nodes get longer leases first' -r
complete -c jctld -n "__fish_jctld_using_subcommand stop" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand stop" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand stop" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand stop" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand user; and not __fish_seen_subcommand_from add list remove help" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand user; and not __fish_seen_subcommand_from add list remove help" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand user; and not __fish_seen_subcommand_from add list remove help" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand user; and not __fish_seen_subcommand_from add list remove help" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand user; and not __fish_seen_subcommand_from add list remove help" -f -a "add" -d 'Add one and print a one-use token for `jqueue login`'
complete -c jctld -n "__fish_jctld_using_subcommand user; and not __fish_seen_subcommand_from add list remove help" -f -a "list" -d 'All of them'
complete -c jctld -n "__fish_jctld_using_subcommand user; and not __fish_seen_subcommand_from add list remove help" -f -a "remove" -d 'Take one away'
complete -c jctld -n "__fish_jctld_using_subcommand user; and not __fish_seen_subcommand_from add list remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from add" -l uid -d 'The numeric id; by default the one of that name on this machine' -r
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from add" -l role -d 'What the user may do' -r -f -a "user\t'Own jobs'
operator\t'Everybody\'s jobs, and nodes'
admin\t'Also users, certificates and configuration'"
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from add" -l ttl -d 'How long the token is good' -r
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from add" -l out -d 'Write a ready folder with client.toml instead' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from add" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from add" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from add" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from list" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from list" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from list" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from remove" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from remove" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from remove" -l cancel-jobs -d 'Cancel what is left'
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from remove" -l keep-running -d 'Let running jobs end'
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from remove" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add one and print a one-use token for `jqueue login`'
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "list" -d 'All of them'
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Take one away'
complete -c jctld -n "__fish_jctld_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and not __fish_seen_subcommand_from issue list revoke rotate help" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand ca; and not __fish_seen_subcommand_from issue list revoke rotate help" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand ca; and not __fish_seen_subcommand_from issue list revoke rotate help" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and not __fish_seen_subcommand_from issue list revoke rotate help" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and not __fish_seen_subcommand_from issue list revoke rotate help" -f -a "issue" -d 'Issue a certificate here, without the daemon'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and not __fish_seen_subcommand_from issue list revoke rotate help" -f -a "list" -d 'All certificates'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and not __fish_seen_subcommand_from issue list revoke rotate help" -f -a "revoke" -d 'Take one back'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and not __fish_seen_subcommand_from issue list revoke rotate help" -f -a "rotate" -d 'A new CA beside the old one (not supported yet)'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and not __fish_seen_subcommand_from issue list revoke rotate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from issue" -l role -d 'With which role' -r -f -a "user\t'Own jobs'
operator\t'Everybody\'s jobs, and nodes'
admin\t'Also users, certificates and configuration'"
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from issue" -l uid -d 'The numeric id; by default the one of that name on this machine' -r
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from issue" -l ttl -d 'How long it is good' -r
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from issue" -l out -d 'Where to write a ready folder with client.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from issue" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from issue" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from issue" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from issue" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from list" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from list" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from list" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from revoke" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from revoke" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from revoke" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from rotate" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from rotate" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from rotate" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from rotate" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from help" -f -a "issue" -d 'Issue a certificate here, without the daemon'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from help" -f -a "list" -d 'All certificates'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from help" -f -a "revoke" -d 'Take one back'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from help" -f -a "rotate" -d 'A new CA beside the old one (not supported yet)'
complete -c jctld -n "__fish_jctld_using_subcommand ca; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jctld -n "__fish_jctld_using_subcommand account; and not __fish_seen_subcommand_from add set list remove help" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand account; and not __fish_seen_subcommand_from add set list remove help" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand account; and not __fish_seen_subcommand_from add set list remove help" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand account; and not __fish_seen_subcommand_from add set list remove help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jctld -n "__fish_jctld_using_subcommand account; and not __fish_seen_subcommand_from add set list remove help" -f -a "add" -d 'Add one: KEY=VALUE as in the manual'
complete -c jctld -n "__fish_jctld_using_subcommand account; and not __fish_seen_subcommand_from add set list remove help" -f -a "set" -d 'Change one'
complete -c jctld -n "__fish_jctld_using_subcommand account; and not __fish_seen_subcommand_from add set list remove help" -f -a "list" -d 'All of them'
complete -c jctld -n "__fish_jctld_using_subcommand account; and not __fish_seen_subcommand_from add set list remove help" -f -a "remove" -d 'Take one away'
complete -c jctld -n "__fish_jctld_using_subcommand account; and not __fish_seen_subcommand_from add set list remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from add" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from add" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from add" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from set" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from set" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from set" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from list" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from list" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from list" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from remove" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from remove" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from remove" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add one: KEY=VALUE as in the manual'
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "set" -d 'Change one'
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "list" -d 'All of them'
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Take one away'
complete -c jctld -n "__fish_jctld_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and not __fish_seen_subcommand_from add set list remove help" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand qos; and not __fish_seen_subcommand_from add set list remove help" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand qos; and not __fish_seen_subcommand_from add set list remove help" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and not __fish_seen_subcommand_from add set list remove help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and not __fish_seen_subcommand_from add set list remove help" -f -a "add" -d 'Add one: KEY=VALUE as in the manual'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and not __fish_seen_subcommand_from add set list remove help" -f -a "set" -d 'Change one'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and not __fish_seen_subcommand_from add set list remove help" -f -a "list" -d 'All of them'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and not __fish_seen_subcommand_from add set list remove help" -f -a "remove" -d 'Take one away'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and not __fish_seen_subcommand_from add set list remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from add" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from add" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from add" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from set" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from set" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from set" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from list" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from list" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from list" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from remove" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from remove" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from remove" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add one: KEY=VALUE as in the manual'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from help" -f -a "set" -d 'Change one'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from help" -f -a "list" -d 'All of them'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Take one away'
complete -c jctld -n "__fish_jctld_using_subcommand qos; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jctld -n "__fish_jctld_using_subcommand config; and not __fish_seen_subcommand_from export apply help" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand config; and not __fish_seen_subcommand_from export apply help" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand config; and not __fish_seen_subcommand_from export apply help" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand config; and not __fish_seen_subcommand_from export apply help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jctld -n "__fish_jctld_using_subcommand config; and not __fish_seen_subcommand_from export apply help" -f -a "export" -d 'Write it as one TOML file'
complete -c jctld -n "__fish_jctld_using_subcommand config; and not __fish_seen_subcommand_from export apply help" -f -a "apply" -d 'Put a file in force, all or nothing'
complete -c jctld -n "__fish_jctld_using_subcommand config; and not __fish_seen_subcommand_from export apply help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jctld -n "__fish_jctld_using_subcommand config; and __fish_seen_subcommand_from export" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand config; and __fish_seen_subcommand_from export" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand config; and __fish_seen_subcommand_from export" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand config; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand config; and __fish_seen_subcommand_from apply" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand config; and __fish_seen_subcommand_from apply" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand config; and __fish_seen_subcommand_from apply" -l dry-run -d 'Print the difference alone'
complete -c jctld -n "__fish_jctld_using_subcommand config; and __fish_seen_subcommand_from apply" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand config; and __fish_seen_subcommand_from apply" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "export" -d 'Write it as one TOML file'
complete -c jctld -n "__fish_jctld_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "apply" -d 'Put a file in force, all or nothing'
complete -c jctld -n "__fish_jctld_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jctld -n "__fish_jctld_using_subcommand audit" -s S -l start -d 'From' -r
complete -c jctld -n "__fish_jctld_using_subcommand audit" -s E -l end -d 'Until' -r
complete -c jctld -n "__fish_jctld_using_subcommand audit" -l who -d 'By whom' -r
complete -c jctld -n "__fish_jctld_using_subcommand audit" -l what -d 'What' -r
complete -c jctld -n "__fish_jctld_using_subcommand audit" -l job -d 'To which job' -r
complete -c jctld -n "__fish_jctld_using_subcommand audit" -l node -d 'To which node' -r
complete -c jctld -n "__fish_jctld_using_subcommand audit" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand audit" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand audit" -l verify -d 'Check that nothing was taken out'
complete -c jctld -n "__fish_jctld_using_subcommand audit" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand audit" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand backup" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand backup" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand backup" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand backup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jctld -n "__fish_jctld_using_subcommand export" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand export" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand export" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand export" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand restore" -l from -d 'The backup\'s folder' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand restore" -l advertise -d 'Under which name or address others reach this machine, if no settings are here yet' -r
complete -c jctld -n "__fish_jctld_using_subcommand restore" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand restore" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand restore" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jctld -n "__fish_jctld_using_subcommand accept" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand accept" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand accept" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand accept" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jctld -n "__fish_jctld_using_subcommand upgrade" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand upgrade" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand upgrade" -l finish -d 'Raise the format; no way back afterwards'
complete -c jctld -n "__fish_jctld_using_subcommand upgrade" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand upgrade" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand reload" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand reload" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand reload" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand reload" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand doctor" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand doctor" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand doctor" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand simulate" -l policy -d 'By which policy: easy, wfp3-easy, conservative, ...' -r
complete -c jctld -n "__fish_jctld_using_subcommand simulate" -l procs -d 'On so many processors; by default what the trace\'s header says' -r
complete -c jctld -n "__fish_jctld_using_subcommand simulate" -l load -d 'Multiply the gaps between arrivals: 0.9 makes 11 % more load' -r
complete -c jctld -n "__fish_jctld_using_subcommand simulate" -l starts -d 'Write each job\'s number and the second of its start here' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand simulate" -l plot -d 'Draw use, demand and who ran where here' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand simulate" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand simulate" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand simulate" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand simulate" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand replay" -l policy -d 'By which policy' -r
complete -c jctld -n "__fish_jctld_using_subcommand replay" -l jobs -d 'So many jobs' -r
complete -c jctld -n "__fish_jctld_using_subcommand replay" -l speed -d 'So many times faster' -r
complete -c jctld -n "__fish_jctld_using_subcommand replay" -l starts -d 'Write starts here' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand replay" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand replay" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand replay" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand replay" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand plan" -l settings -d 'Daemon settings: jctld.toml' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand plan" -l config -d 'Client configuration' -r -F
complete -c jctld -n "__fish_jctld_using_subcommand plan" -l json -d 'Answer in JSON'
complete -c jctld -n "__fish_jctld_using_subcommand plan" -s h -l help -d 'Print help'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "dev" -d 'A whole private cluster on this machine, without root'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "run" -d 'Serve'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "init" -d 'Make a new cluster: CA, state folder, settings'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "status" -d 'How the controller is'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "verify" -d 'Check the store: through the running daemon, or a folder'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "stop" -d 'End in order'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "user" -d 'Users'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "ca" -d 'Certificates'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "account" -d 'Accounts: who may submit in whose name, as a tree'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "qos" -d 'Qualities of service'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "config" -d 'The cluster\'s configuration as one TOML file'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "audit" -d 'Who did what'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "backup" -d 'Write a backup through the running daemon'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "export" -d 'Write the state anew now, as the daemon does by itself when the journal has grown enough'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "restore" -d 'Make a controller from a backup'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "accept" -d 'Let nodes obey this incarnation after a restore'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "upgrade" -d 'Rolling upgrade (not supported yet)'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "reload" -d 'Read the settings again (not supported yet)'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "doctor" -d 'What is wrong on this machine'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "simulate" -d 'Schedule a trace in virtual time'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "replay" -d 'Play a trace through a real cluster of virtual nodes (not supported yet)'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "plan" -d 'Put jobs of known times on nodes so that all are done as early as can be; prints JSON'
complete -c jctld -n "__fish_jctld_using_subcommand help; and not __fish_seen_subcommand_from dev run init status verify stop user ca account qos config audit backup export restore accept upgrade reload doctor simulate replay plan help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "add" -d 'Add one and print a one-use token for `jqueue login`'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "list" -d 'All of them'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "remove" -d 'Take one away'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from ca" -f -a "issue" -d 'Issue a certificate here, without the daemon'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from ca" -f -a "list" -d 'All certificates'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from ca" -f -a "revoke" -d 'Take one back'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from ca" -f -a "rotate" -d 'A new CA beside the old one (not supported yet)'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "add" -d 'Add one: KEY=VALUE as in the manual'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "set" -d 'Change one'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "list" -d 'All of them'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "remove" -d 'Take one away'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from qos" -f -a "add" -d 'Add one: KEY=VALUE as in the manual'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from qos" -f -a "set" -d 'Change one'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from qos" -f -a "list" -d 'All of them'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from qos" -f -a "remove" -d 'Take one away'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "export" -d 'Write it as one TOML file'
complete -c jctld -n "__fish_jctld_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "apply" -d 'Put a file in force, all or nothing'

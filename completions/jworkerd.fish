# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_jworkerd_global_optspecs
    string join \n dir= json h/help V/version
end

function __fish_jworkerd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_jworkerd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_jworkerd_using_subcommand
    set -l cmd (__fish_jworkerd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c jworkerd -n "__fish_jworkerd_needs_command" -l dir -d 'State folder of the daemon' -r -F
complete -c jworkerd -n "__fish_jworkerd_needs_command" -l json -d 'Answer in JSON'
complete -c jworkerd -n "__fish_jworkerd_needs_command" -s h -l help -d 'Print help'
complete -c jworkerd -n "__fish_jworkerd_needs_command" -s V -l version -d 'Print version'
complete -c jworkerd -n "__fish_jworkerd_needs_command" -f -a "join" -d 'Join a cluster'
complete -c jworkerd -n "__fish_jworkerd_needs_command" -f -a "run" -d 'Serve'
complete -c jworkerd -n "__fish_jworkerd_needs_command" -f -a "probe" -d 'What hardware is found here'
complete -c jworkerd -n "__fish_jworkerd_needs_command" -f -a "status" -d 'What the daemon on this machine is doing'
complete -c jworkerd -n "__fish_jworkerd_needs_command" -f -a "doctor" -d 'What is wrong on this machine'
complete -c jworkerd -n "__fish_jworkerd_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand join" -l name -d 'With a token for several names: which of them; by default this host\'s name' -r
complete -c jworkerd -n "__fish_jworkerd_using_subcommand join" -l dir -d 'State folder of the daemon' -r -F
complete -c jworkerd -n "__fish_jworkerd_using_subcommand join" -l json -d 'Answer in JSON'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand join" -s h -l help -d 'Print help'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand run" -l virtual -d 'Play so many nodes that run nothing' -r
complete -c jworkerd -n "__fish_jworkerd_using_subcommand run" -l dir -d 'State folder of the daemon' -r -F
complete -c jworkerd -n "__fish_jworkerd_using_subcommand run" -l login -d 'As a login host'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand run" -l json -d 'Answer in JSON'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand run" -s h -l help -d 'Print help'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand probe" -l dir -d 'State folder of the daemon' -r -F
complete -c jworkerd -n "__fish_jworkerd_using_subcommand probe" -l json -d 'Answer in JSON'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand probe" -s h -l help -d 'Print help'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand status" -l dir -d 'State folder of the daemon' -r -F
complete -c jworkerd -n "__fish_jworkerd_using_subcommand status" -l json -d 'Answer in JSON'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand status" -s h -l help -d 'Print help'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand doctor" -l dir -d 'State folder of the daemon' -r -F
complete -c jworkerd -n "__fish_jworkerd_using_subcommand doctor" -l json -d 'Answer in JSON'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand help; and not __fish_seen_subcommand_from join run probe status doctor help" -f -a "join" -d 'Join a cluster'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand help; and not __fish_seen_subcommand_from join run probe status doctor help" -f -a "run" -d 'Serve'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand help; and not __fish_seen_subcommand_from join run probe status doctor help" -f -a "probe" -d 'What hardware is found here'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand help; and not __fish_seen_subcommand_from join run probe status doctor help" -f -a "status" -d 'What the daemon on this machine is doing'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand help; and not __fish_seen_subcommand_from join run probe status doctor help" -f -a "doctor" -d 'What is wrong on this machine'
complete -c jworkerd -n "__fish_jworkerd_using_subcommand help; and not __fish_seen_subcommand_from join run probe status doctor help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'

# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_jnode_global_optspecs
    string join \n p/partition= t/states= w/nodelist= s/summary watch no-header config= json h/help V/version
end

function __fish_jnode_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_jnode_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_jnode_using_subcommand
    set -l cmd (__fish_jnode_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c jnode -n "__fish_jnode_needs_command" -s p -l partition -d 'In these partitions' -r
complete -c jnode -n "__fish_jnode_needs_command" -s t -l states -d 'In these states: idle, mixed, full, draining, drained, down, unreachable, reserved, booting, off' -r -f -a "idle\t'Nothing runs there'
mixed\t'Partly used'
full\t'Fully used'
draining\t'Gets no new jobs; some still run'
drained\t'Gets no new jobs; none runs'
down\t'Out of service'
unreachable\t'Silent'
reserved\t'Held for a reservation'
booting\t'Starting'
off\t'Switched off'"
complete -c jnode -n "__fish_jnode_needs_command" -s w -l nodelist -d 'These nodes' -r
complete -c jnode -n "__fish_jnode_needs_command" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_needs_command" -s s -l summary -d 'A line for each partition and state'
complete -c jnode -n "__fish_jnode_needs_command" -l watch -d 'Stay, and show changes as they come'
complete -c jnode -n "__fish_jnode_needs_command" -l no-header -d 'No line of column names'
complete -c jnode -n "__fish_jnode_needs_command" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jnode -n "__fish_jnode_needs_command" -s V -l version -d 'Print version'
complete -c jnode -n "__fish_jnode_needs_command" -f -a "show" -d 'Everything about nodes'
complete -c jnode -n "__fish_jnode_needs_command" -f -a "drain" -d 'Let running jobs end, start no new ones'
complete -c jnode -n "__fish_jnode_needs_command" -f -a "resume" -d 'Back into service'
complete -c jnode -n "__fish_jnode_needs_command" -f -a "down" -d 'Out of service'
complete -c jnode -n "__fish_jnode_needs_command" -f -a "wait" -d 'Wait for nodes'
complete -c jnode -n "__fish_jnode_needs_command" -f -a "add" -d 'Make tokens with which nodes can join, a line each'
complete -c jnode -n "__fish_jnode_needs_command" -f -a "remove" -d 'Take out of the cluster'
complete -c jnode -n "__fish_jnode_needs_command" -f -a "set" -d 'Change what is known of nodes: features= gres= weight= partitions='
complete -c jnode -n "__fish_jnode_needs_command" -f -a "top" -d 'Live view'
complete -c jnode -n "__fish_jnode_needs_command" -f -a "hosts" -d 'Expand a list of names to a line each, or fold names to a list'
complete -c jnode -n "__fish_jnode_needs_command" -f -a "partition" -d 'Partitions'
complete -c jnode -n "__fish_jnode_needs_command" -f -a "reserve" -d 'Reservations'
complete -c jnode -n "__fish_jnode_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jnode -n "__fish_jnode_using_subcommand show" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand show" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand show" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand drain" -l reason -d 'Why' -r
complete -c jnode -n "__fish_jnode_using_subcommand drain" -l deadline -d 'End the jobs that are left then, as by preemption' -r
complete -c jnode -n "__fish_jnode_using_subcommand drain" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand drain" -l wait -d 'Wait until no job is left'
complete -c jnode -n "__fish_jnode_using_subcommand drain" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand drain" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand resume" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand resume" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand resume" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand down" -l reason -d 'Why' -r
complete -c jnode -n "__fish_jnode_using_subcommand down" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand down" -l confirmed-dead -d 'The machine is off or was restarted: nothing of it runs any more'
complete -c jnode -n "__fish_jnode_using_subcommand down" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand down" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand wait" -l for -d 'For what' -r -f -a "drained\t'No job is left there'
up\t'It is in service'"
complete -c jnode -n "__fish_jnode_using_subcommand wait" -l timeout -d 'Not longer than this' -r
complete -c jnode -n "__fish_jnode_using_subcommand wait" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand wait" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jnode -n "__fish_jnode_using_subcommand add" -l ttl -d 'How long the tokens are good' -r
complete -c jnode -n "__fish_jnode_using_subcommand add" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand add" -l pool -d 'One token for all names, each once'
complete -c jnode -n "__fish_jnode_using_subcommand add" -l replace -d 'A new machine takes the name of an old one'
complete -c jnode -n "__fish_jnode_using_subcommand add" -l login -d 'A login host that may vouch for its users'
complete -c jnode -n "__fish_jnode_using_subcommand add" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand add" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand remove" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand remove" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand remove" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand set" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand set" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand set" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand top" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand top" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand top" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand hosts" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand hosts" -l fold -d 'Fold instead'
complete -c jnode -n "__fish_jnode_using_subcommand hosts" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand hosts" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and not __fish_seen_subcommand_from set list remove help" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand partition; and not __fish_seen_subcommand_from set list remove help" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and not __fish_seen_subcommand_from set list remove help" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and not __fish_seen_subcommand_from set list remove help" -f -a "set" -d 'Make or change one: nodes= default= state=up|down|closed max-time= default-time= default-mem-per-cpu= max-nodes= accounts= policy= priority= requeue='
complete -c jnode -n "__fish_jnode_using_subcommand partition; and not __fish_seen_subcommand_from set list remove help" -f -a "list" -d 'All of them'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and not __fish_seen_subcommand_from set list remove help" -f -a "remove" -d 'Take one away'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and not __fish_seen_subcommand_from set list remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and __fish_seen_subcommand_from set" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand partition; and __fish_seen_subcommand_from set" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and __fish_seen_subcommand_from list" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand partition; and __fish_seen_subcommand_from list" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and __fish_seen_subcommand_from remove" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand partition; and __fish_seen_subcommand_from remove" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and __fish_seen_subcommand_from help" -f -a "set" -d 'Make or change one: nodes= default= state=up|down|closed max-time= default-time= default-mem-per-cpu= max-nodes= accounts= policy= priority= requeue='
complete -c jnode -n "__fish_jnode_using_subcommand partition; and __fish_seen_subcommand_from help" -f -a "list" -d 'All of them'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Take one away'
complete -c jnode -n "__fish_jnode_using_subcommand partition; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and not __fish_seen_subcommand_from create list remove help" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and not __fish_seen_subcommand_from create list remove help" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and not __fish_seen_subcommand_from create list remove help" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and not __fish_seen_subcommand_from create list remove help" -f -a "create" -d 'Make one (not supported yet)'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and not __fish_seen_subcommand_from create list remove help" -f -a "list" -d 'All of them (not supported yet)'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and not __fish_seen_subcommand_from create list remove help" -f -a "remove" -d 'Take one away (not supported yet)'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and not __fish_seen_subcommand_from create list remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from create" -l nodes -d 'A list, `all`, or how many' -r
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from create" -l start -d 'From when' -r
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from create" -l duration -d 'For how long' -r
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from create" -l every -d 'Again and again' -r -f -a "day\t'Every day'
week\t'Every week'"
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from create" -l users -d 'For these users' -r
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from create" -l accounts -d 'For these accounts' -r
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from create" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from create" -l maint -d 'For maintenance: nobody\'s jobs'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from create" -l over-jobs -d 'Even where jobs may still run'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from create" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from list" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from list" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from remove" -l config -d 'Client configuration' -r -F
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from remove" -l json -d 'Answer in JSON'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make one (not supported yet)'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from help" -f -a "list" -d 'All of them (not supported yet)'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Take one away (not supported yet)'
complete -c jnode -n "__fish_jnode_using_subcommand reserve; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jnode -n "__fish_jnode_using_subcommand help; and not __fish_seen_subcommand_from show drain resume down wait add remove set top hosts partition reserve help" -f -a "show" -d 'Everything about nodes'
complete -c jnode -n "__fish_jnode_using_subcommand help; and not __fish_seen_subcommand_from show drain resume down wait add remove set top hosts partition reserve help" -f -a "drain" -d 'Let running jobs end, start no new ones'
complete -c jnode -n "__fish_jnode_using_subcommand help; and not __fish_seen_subcommand_from show drain resume down wait add remove set top hosts partition reserve help" -f -a "resume" -d 'Back into service'
complete -c jnode -n "__fish_jnode_using_subcommand help; and not __fish_seen_subcommand_from show drain resume down wait add remove set top hosts partition reserve help" -f -a "down" -d 'Out of service'
complete -c jnode -n "__fish_jnode_using_subcommand help; and not __fish_seen_subcommand_from show drain resume down wait add remove set top hosts partition reserve help" -f -a "wait" -d 'Wait for nodes'
complete -c jnode -n "__fish_jnode_using_subcommand help; and not __fish_seen_subcommand_from show drain resume down wait add remove set top hosts partition reserve help" -f -a "add" -d 'Make tokens with which nodes can join, a line each'
complete -c jnode -n "__fish_jnode_using_subcommand help; and not __fish_seen_subcommand_from show drain resume down wait add remove set top hosts partition reserve help" -f -a "remove" -d 'Take out of the cluster'
complete -c jnode -n "__fish_jnode_using_subcommand help; and not __fish_seen_subcommand_from show drain resume down wait add remove set top hosts partition reserve help" -f -a "set" -d 'Change what is known of nodes: features= gres= weight= partitions='
complete -c jnode -n "__fish_jnode_using_subcommand help; and not __fish_seen_subcommand_from show drain resume down wait add remove set top hosts partition reserve help" -f -a "top" -d 'Live view'
complete -c jnode -n "__fish_jnode_using_subcommand help; and not __fish_seen_subcommand_from show drain resume down wait add remove set top hosts partition reserve help" -f -a "hosts" -d 'Expand a list of names to a line each, or fold names to a list'
complete -c jnode -n "__fish_jnode_using_subcommand help; and not __fish_seen_subcommand_from show drain resume down wait add remove set top hosts partition reserve help" -f -a "partition" -d 'Partitions'
complete -c jnode -n "__fish_jnode_using_subcommand help; and not __fish_seen_subcommand_from show drain resume down wait add remove set top hosts partition reserve help" -f -a "reserve" -d 'Reservations'
complete -c jnode -n "__fish_jnode_using_subcommand help; and not __fish_seen_subcommand_from show drain resume down wait add remove set top hosts partition reserve help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jnode -n "__fish_jnode_using_subcommand help; and __fish_seen_subcommand_from partition" -f -a "set" -d 'Make or change one: nodes= default= state=up|down|closed max-time= default-time= default-mem-per-cpu= max-nodes= accounts= policy= priority= requeue='
complete -c jnode -n "__fish_jnode_using_subcommand help; and __fish_seen_subcommand_from partition" -f -a "list" -d 'All of them'
complete -c jnode -n "__fish_jnode_using_subcommand help; and __fish_seen_subcommand_from partition" -f -a "remove" -d 'Take one away'
complete -c jnode -n "__fish_jnode_using_subcommand help; and __fish_seen_subcommand_from reserve" -f -a "create" -d 'Make one (not supported yet)'
complete -c jnode -n "__fish_jnode_using_subcommand help; and __fish_seen_subcommand_from reserve" -f -a "list" -d 'All of them (not supported yet)'
complete -c jnode -n "__fish_jnode_using_subcommand help; and __fish_seen_subcommand_from reserve" -f -a "remove" -d 'Take one away (not supported yet)'

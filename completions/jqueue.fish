# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_jqueue_global_optspecs
    string join \n a/all u/user= me j/jobs= p/partition= t/states= A/account= q/qos= w/nodelist= n/name= l/long o/format= S/sort= r/array start since= no-header watch position= config= json h/help V/version
end

function __fish_jqueue_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_jqueue_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_jqueue_using_subcommand
    set -l cmd (__fish_jqueue_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c jqueue -n "__fish_jqueue_needs_command" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_needs_command" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_needs_command" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_needs_command" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_needs_command" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_needs_command" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_needs_command" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_needs_command" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_needs_command" -s o -l format -d 'These columns, by their names in JSON or Slurm\'s; `help` lists them' -r
complete -c jqueue -n "__fish_jqueue_needs_command" -s S -l sort -d 'Sort by these columns; `-` before one turns it round' -r
complete -c jqueue -n "__fish_jqueue_needs_command" -l since -d 'Ended jobs since then; 24 hours by default' -r
complete -c jqueue -n "__fish_jqueue_needs_command" -l position -d 'With --watch: go on from this position' -r
complete -c jqueue -n "__fish_jqueue_needs_command" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_needs_command" -s a -l all -d 'Everybody\'s jobs'
complete -c jqueue -n "__fish_jqueue_needs_command" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_needs_command" -s l -l long -d 'More columns'
complete -c jqueue -n "__fish_jqueue_needs_command" -s r -l array -d 'A line for each task of an array'
complete -c jqueue -n "__fish_jqueue_needs_command" -l start -d 'When waiting jobs are expected to start'
complete -c jqueue -n "__fish_jqueue_needs_command" -l no-header -d 'No line of column names'
complete -c jqueue -n "__fish_jqueue_needs_command" -l watch -d 'Stay, and show changes as they come'
complete -c jqueue -n "__fish_jqueue_needs_command" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_needs_command" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_needs_command" -s V -l version -d 'Print version'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "show" -d 'The whole record and its timeline, attempt by attempt'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "why" -d 'Why it waits, or why it ended as it did, and what to change'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "log" -d 'Its output, live or afterwards'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "wait" -d 'Wait for jobs; exits as they ended'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "hist" -d 'Ended jobs'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "eff" -d 'What it used against what it asked for'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "usage" -d 'Who runs, waits and used how much'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "prio" -d 'Its rank in words and in numbers'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "hold" -d 'Keep from starting'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "release" -d 'Let start again what was held'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "requeue" -d 'Run again'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "suspend" -d 'Stop for a while'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "resume" -d 'Go on after a suspend'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "first" -d 'Ahead of the owner\'s other pending jobs'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "set" -d 'Change what a job asks for'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "fetch" -d 'Bring its output and error files here'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "top" -d 'Live view of everybody\'s jobs'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "whoami" -d 'Who the controller takes you for, and what you may use'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "login" -d 'Make a key here and get a certificate for it'
complete -c jqueue -n "__fish_jqueue_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c jqueue -n "__fish_jqueue_using_subcommand show" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand show" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand show" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand show" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand show" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand show" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand show" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand show" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand show" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand show" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand show" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand show" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand why" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand why" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand why" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand why" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand why" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand why" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand why" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand why" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand why" -l what-if -d 'What if it asked for this instead: mem=4G,time=1h' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand why" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand why" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand why" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand why" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -s n -l lines -d 'The last so many lines' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -l attempt -d 'Of that attempt; by default the last' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -s f -l follow -d 'Go on as it grows'
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -l err -d 'Standard error instead of standard output'
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand log" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -l for -d 'For their end or their start' -r -f -a "end\t'The end'
start\t'The start, or the end'"
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -l timeout -d 'Not longer than this' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -s S -l start -d 'Ended after this' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -s E -l end -d 'Ended before this' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -s o -l format -d 'These columns; `tasks` prints task indexes alone, as 3,17,90-95' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -s a -l all -d 'Everybody\'s jobs'
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -l no-header -d 'No line of column names'
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand hist" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand eff" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand eff" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand eff" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand eff" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand eff" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand eff" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand eff" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand eff" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand eff" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand eff" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand eff" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand eff" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand usage" -l by -d 'Summed by' -r -f -a "user\t'Users'
account\t'Accounts'
partition\t'Partitions'"
complete -c jqueue -n "__fish_jqueue_using_subcommand usage" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand usage" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand usage" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jqueue -n "__fish_jqueue_using_subcommand prio" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand prio" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand prio" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand prio" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand prio" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand prio" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand prio" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand prio" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand prio" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand prio" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand prio" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand prio" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -l key -d 'Repeats under the same key do it once' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -l dry-run -d 'Say what would be done, and do nothing'
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand hold" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -l key -d 'Repeats under the same key do it once' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -l dry-run -d 'Say what would be done, and do nothing'
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand release" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -l key -d 'Repeats under the same key do it once' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -l with -d 'Asking for this instead: mem=8G' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -l dry-run -d 'Say what would be done, and do nothing'
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -l dependents -d 'Also what ended DependencyFailed because of it'
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand requeue" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -l key -d 'Repeats under the same key do it once' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -l dry-run -d 'Say what would be done, and do nothing'
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand suspend" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -l key -d 'Repeats under the same key do it once' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -l dry-run -d 'Say what would be done, and do nothing'
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand resume" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -l key -d 'Repeats under the same key do it once' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -l dry-run -d 'Say what would be done, and do nothing'
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand first" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -s u -l user -d 'Of these users' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -s j -l jobs -d 'These jobs' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -s p -l partition -d 'In these partitions' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -s A -l account -d 'Of these accounts' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -s q -l qos -d 'Of these qualities of service' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -s w -l nodelist -d 'On these nodes' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -s n -l name -d 'Of these names' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -l key -d 'Repeats under the same key do it once' -r
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -l me -d 'Own jobs alone'
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -l dry-run -d 'Say what would be done, and do nothing'
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand set" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand fetch" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand fetch" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand fetch" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand top" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand top" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand top" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand whoami" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand whoami" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand whoami" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand login" -l config -d 'Client configuration' -r -F
complete -c jqueue -n "__fish_jqueue_using_subcommand login" -l json -d 'Answer in JSON'
complete -c jqueue -n "__fish_jqueue_using_subcommand login" -s h -l help -d 'Print help'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "show" -d 'The whole record and its timeline, attempt by attempt'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "why" -d 'Why it waits, or why it ended as it did, and what to change'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "log" -d 'Its output, live or afterwards'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "wait" -d 'Wait for jobs; exits as they ended'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "hist" -d 'Ended jobs'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "eff" -d 'What it used against what it asked for'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "usage" -d 'Who runs, waits and used how much'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "prio" -d 'Its rank in words and in numbers'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "hold" -d 'Keep from starting'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "release" -d 'Let start again what was held'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "requeue" -d 'Run again'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "suspend" -d 'Stop for a while'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "resume" -d 'Go on after a suspend'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "first" -d 'Ahead of the owner\'s other pending jobs'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "set" -d 'Change what a job asks for'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "fetch" -d 'Bring its output and error files here'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "top" -d 'Live view of everybody\'s jobs'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "whoami" -d 'Who the controller takes you for, and what you may use'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "login" -d 'Make a key here and get a certificate for it'
complete -c jqueue -n "__fish_jqueue_using_subcommand help; and not __fish_seen_subcommand_from show why log wait hist eff usage prio hold release requeue suspend resume first set fetch top whoami login help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'

complete -c jcancel -s u -l user -d 'Of these users' -r
complete -c jcancel -s j -l jobs -d 'These jobs' -r
complete -c jcancel -s p -l partition -d 'In these partitions' -r
complete -c jcancel -s t -l states -d 'In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too' -r
complete -c jcancel -s A -l account -d 'Of these accounts' -r
complete -c jcancel -s q -l qos -d 'Of these qualities of service' -r
complete -c jcancel -s w -l nodelist -d 'On these nodes' -r
complete -c jcancel -s n -l name -d 'Of these names' -r
complete -c jcancel -s s -l signal -d 'Send this signal instead of ending the jobs' -r
complete -c jcancel -l reason -d 'Why; kept with the end of the job' -r
complete -c jcancel -l key -d 'Repeats under the same key do it once' -r
complete -c jcancel -l config -d 'Client configuration' -r -F
complete -c jcancel -l me -d 'Own jobs alone'
complete -c jcancel -s b -l batch -d 'Signal the batch shell alone'
complete -c jcancel -l wait -d 'Wait until the jobs are dead'
complete -c jcancel -s i -l interactive -d 'Ask before each job'
complete -c jcancel -l dry-run -d 'Say what would be done, and do nothing'
complete -c jcancel -l json -d 'Answer in JSON'
complete -c jcancel -s h -l help -d 'Print help'
complete -c jcancel -s V -l version -d 'Print version'

complete -c jsubmit -s J -l job-name -d 'Name of the job; by default the script\'s' -r
complete -c jsubmit -s D -l chdir -d 'Working directory; `job`: a private folder on the node, kept for a day after the end' -r
complete -c jsubmit -s i -l input -d 'Standard input; by default /dev/null' -r
complete -c jsubmit -s o -l output -d 'Standard output; by default jsched-%j.out, of arrays jsched-%A_%a.out; `none` keeps nothing' -r
complete -c jsubmit -s e -l error -d 'Standard error; by default together with the output' -r
complete -c jsubmit -l open-mode -d '`truncate` (default) or `append`: what the first start does with files that exist' -r
complete -c jsubmit -l export -d 'ALL (default), NONE, or V=1,W,…: which variables the job gets' -r
complete -c jsubmit -l get-user-env -d 'Start from the environment of a login shell' -r
complete -c jsubmit -l comment -d 'Free words, kept with the job' -r
complete -c jsubmit -l wrap -d 'Run this line by sh instead of a script' -r
complete -c jsubmit -s N -l nodes -d 'How many nodes; one for now' -r
complete -c jsubmit -s n -l ntasks -d 'How many tasks' -r
complete -c jsubmit -l ntasks-per-node -d 'How many tasks on each node' -r
complete -c jsubmit -s c -l cpus-per-task -d 'Cpus of each task' -r
complete -c jsubmit -l mem -d 'Memory on the node: MiB, or with K, M, G, T; 0: all of it; 4G..16G: twice as much after each end for lack of it' -r
complete -c jsubmit -l mem-per-cpu -d 'Memory for each cpu' -r
complete -c jsubmit -l mem-per-gpu -d 'Memory for each GPU (not supported yet)' -r
complete -c jsubmit -s G -l gpus -d 'GPUs of the job (not supported yet)' -r
complete -c jsubmit -l gpus-per-node -d 'GPUs on each node (not supported yet)' -r
complete -c jsubmit -l gpus-per-task -d 'GPUs of each task (not supported yet)' -r
complete -c jsubmit -l cpus-per-gpu -d 'Cpus for each GPU (not supported yet)' -r
complete -c jsubmit -l ntasks-per-gpu -d 'Tasks for each GPU (not supported yet)' -r
complete -c jsubmit -l gres -d 'Generic resources (not supported yet)' -r
complete -c jsubmit -l mincpus -d 'Least cpus on the node' -r
complete -c jsubmit -l tmp -d 'Least temporary disk on the node' -r
complete -c jsubmit -s L -l licenses -d 'Licences (not supported yet)' -r
complete -c jsubmit -l exclusive -d 'The whole node for this job alone' -r
complete -c jsubmit -s p -l partition -d 'One of these partitions' -r
complete -c jsubmit -s w -l nodelist -d 'Only these nodes, as n[001-016,20]' -r
complete -c jsubmit -s x -l exclude -d 'None of these nodes' -r
complete -c jsubmit -s C -l constraint -d 'Only nodes with these features: a&b|c' -r
complete -c jsubmit -l reservation -d 'Inside this reservation (not supported yet)' -r
complete -c jsubmit -s t -l time -d 'Time limit: minutes, HH:MM:SS, D-HH[:MM[:SS]], 1h30m; 0: none' -r
complete -c jsubmit -l time-min -d 'The least time that it could do with' -r
complete -c jsubmit -s b -l begin -d 'Not before: now+2h, 16:00, tomorrow, 2026-12-01T08:00' -r
complete -c jsubmit -l deadline -d 'Must have ended by then' -r
complete -c jsubmit -l start-by -d 'Must have started by then, else it ends as Deadline' -r
complete -c jsubmit -s d -l dependency -d 'after[:id+min], afterany, afterok, afternotok, aftercorr, singleton; `,` all of them, `?` any' -r
complete -c jsubmit -l on-dep-fail -d 'When its dependencies can\'t hold any more: cancel (default), hold or run' -r
complete -c jsubmit -s A -l account -d 'Whose share it uses' -r
complete -c jsubmit -s q -l qos -d 'Quality of service' -r
complete -c jsubmit -l nice -d 'Lower its priority by N, 100 by default' -r
complete -c jsubmit -l priority -d 'Set its priority (operators)' -r
complete -c jsubmit -s a -l array -d 'One task for each index, as 0-99:2%10' -r
complete -c jsubmit -l each-line -d 'One task for each line, counted from 1, in JSCHED_LINE; --array picks lines' -r
complete -c jsubmit -l jobs -d 'Submit one job for each line of JSON; `-`: standard input' -r
complete -c jsubmit -l requeue -d 'Start again after the node was lost: fenced[:TIME] (default), proof or overlap' -r
complete -c jsubmit -l retry -d 'Try again so often after the causes of --retry-on; alone: after a failure' -r
complete -c jsubmit -l retry-on -d 'node, preempt, timeout, oom, fail, exit:N; alone: three times' -r
complete -c jsubmit -l signal -d 'A signal before the time limit, 60 seconds by default' -r
complete -c jsubmit -l checkpoint -d 'Save and go on later (not supported yet)' -r
complete -c jsubmit -l stage-in -d 'Bring this file to the job (not supported yet)' -r
complete -c jsubmit -l stage-out -d 'Keep these files of the job (not supported yet)' -r
complete -c jsubmit -l keep-copies -d 'Keep so many copies (not supported yet)' -r
complete -c jsubmit -l key -d 'Submit under this key: a repeat gives the same job' -r
complete -c jsubmit -l mail-type -d 'Mail about the job' -r
complete -c jsubmit -l mail-user -d 'To whom' -r
complete -c jsubmit -l notify -d 'mail:…, webhook:… or cmd:… (not supported yet)' -r
complete -c jsubmit -l config -d 'Client configuration' -r
complete -c jsubmit -l hint -d 'Hints on binding' -r
complete -c jsubmit -s m -l distribution -d 'Distribution of tasks over nodes' -r
complete -c jsubmit -s M -l clusters -d 'This cluster\'s name' -r
complete -c jsubmit -l cpu-freq -d 'Frequency of the cpus' -r
complete -c jsubmit -l acctg-freq -d 'How often usage is sampled' -r
complete -c jsubmit -l profile -d 'Profiling' -r
complete -c jsubmit -l gres-flags -d 'Binding of generic resources' -r
complete -c jsubmit -l threads-per-core -d 'Threads of a core; 1' -r
complete -c jsubmit -l ntasks-per-core -d 'Tasks of a core; 1' -r
complete -c jsubmit -s k -l no-kill -d 'Go on when one of several nodes fails' -r
complete -c jsubmit -l contiguous -d 'Nodes side by side; true of one node'
complete -c jsubmit -s H -l hold -d 'Wait until it is released'
complete -c jsubmit -l no-requeue -d 'Never start again'
complete -c jsubmit -s W -l wait -d 'Wait for the end; exit as the job did'
complete -c jsubmit -s f -l follow -d 'Wait, and show the output as it comes'
complete -c jsubmit -l tied -d 'Wait, and cancel the job when this command ends or is gone for 60 seconds'
complete -c jsubmit -l test-only -d 'Show what was understood and when it would start; submit nothing'
complete -c jsubmit -s Q -l quiet -d 'Say nothing on standard error but errors'
complete -c jsubmit -s v -l verbose -d 'Say what was understood'
complete -c jsubmit -l parsable -d 'Print the id alone'
complete -c jsubmit -l json -d 'Answer in JSON'
complete -c jsubmit -s h -l help -d 'Print help'
complete -c jsubmit -l usage -d 'Print the usage in a few lines'
complete -c jsubmit -s V -l version -d 'Print the version'

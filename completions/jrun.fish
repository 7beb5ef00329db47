complete -c jrun -s N -l nodes -d 'How many nodes; one for now' -r
complete -c jrun -s n -l ntasks -d 'How many tasks' -r
complete -c jrun -l ntasks-per-node -d 'How many tasks on each node' -r
complete -c jrun -s c -l cpus-per-task -d 'Cpus of each task' -r
complete -c jrun -l mem -d 'Memory on the node: MiB, or with K, M, G, T; 0: all of it; 4G..16G: twice as much after each end for lack of it' -r
complete -c jrun -l mem-per-cpu -d 'Memory for each cpu' -r
complete -c jrun -l mem-per-gpu -d 'Memory for each GPU (not supported yet)' -r
complete -c jrun -s G -l gpus -d 'GPUs of the job (not supported yet)' -r
complete -c jrun -l gpus-per-node -d 'GPUs on each node (not supported yet)' -r
complete -c jrun -l gpus-per-task -d 'GPUs of each task (not supported yet)' -r
complete -c jrun -l cpus-per-gpu -d 'Cpus for each GPU (not supported yet)' -r
complete -c jrun -l ntasks-per-gpu -d 'Tasks for each GPU (not supported yet)' -r
complete -c jrun -l gres -d 'Generic resources (not supported yet)' -r
complete -c jrun -l mincpus -d 'Least cpus on the node' -r
complete -c jrun -l tmp -d 'Least temporary disk on the node' -r
complete -c jrun -s L -l licenses -d 'Licences (not supported yet)' -r
complete -c jrun -l exclusive -d 'The whole node for this job alone' -r
complete -c jrun -s p -l partition -d 'One of these partitions' -r
complete -c jrun -s w -l nodelist -d 'Only these nodes, as n[001-016,20]' -r
complete -c jrun -s x -l exclude -d 'None of these nodes' -r
complete -c jrun -s C -l constraint -d 'Only nodes with these features: a&b|c' -r
complete -c jrun -l reservation -d 'Inside this reservation (not supported yet)' -r
complete -c jrun -s t -l time -d 'Time limit: minutes, HH:MM:SS, D-HH[:MM[:SS]], 1h30m; 0: none' -r
complete -c jrun -l time-min -d 'The least time that it could do with' -r
complete -c jrun -s b -l begin -d 'Not before: now+2h, 16:00, tomorrow, 2026-12-01T08:00' -r
complete -c jrun -l deadline -d 'Must have ended by then' -r
complete -c jrun -l start-by -d 'Must have started by then, else it ends as Deadline' -r
complete -c jrun -s d -l dependency -d 'after[:id+min], afterany, afterok, afternotok, aftercorr, singleton; `,` all of them, `?` any' -r
complete -c jrun -l on-dep-fail -d 'When its dependencies can\'t hold any more: cancel (default), hold or run' -r
complete -c jrun -s A -l account -d 'Whose share it uses' -r
complete -c jrun -s q -l qos -d 'Quality of service' -r
complete -c jrun -l nice -d 'Lower its priority by N, 100 by default' -r
complete -c jrun -l priority -d 'Set its priority (operators)' -r
complete -c jrun -l contiguous -d 'Nodes side by side; true of one node'
complete -c jrun -s H -l hold -d 'Wait until it is released'
complete -c jrun -l pty -d 'With a terminal'
complete -c jrun -s l -l label -d 'Begin each line with its task'
complete -c jrun -s K -l kill-on-bad-exit -d 'End all tasks when one fails'
complete -c jrun -s h -l help -d 'Print help'
complete -c jrun -s V -l version -d 'Print version'

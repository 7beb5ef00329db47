#!/bin/bash
#SBATCH --cluster=here
#SBATCH --clusters here
true

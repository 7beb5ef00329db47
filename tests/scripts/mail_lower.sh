#!/bin/bash
#SBATCH --mail-type=begin        # when it begins
#SBATCH --mail-type=end          # and ends
#SBATCH --mail-user=ada@example.org
true

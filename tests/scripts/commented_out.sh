#!/bin/bash
##SBATCH --mem=900G
# #SBATCH --mem=800G
 #SBATCH --mem=700G
#SBATCH --mem=100
#SBATCHX --mem=600G
true

"""Training a whole network on labels, from pretrained weights."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.evaluation.finetuning.evaluation import FineTuningEvaluation as FineTuningEvaluation
    from vidssl.evaluation.finetuning.module import FineTuning as FineTuning
    from vidssl.evaluation.finetuning.recipe import FineTuningRecipe as FineTuningRecipe

offer(
    __name__,
    evaluation=["FineTuningEvaluation"],
    module=["FineTuning"],
    recipe=["FineTuningRecipe"],
)

"""What a notebook cannot hold: metrics across two processes, and the loops of optional packages."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mfoml_course.collapse import ClassMeans, NeuralCollapse
from mfoml_course.svsl import SVSLoss, variability_loss
from mfoml_course.training.adapters import lightning_module, loss_trainer


def samples():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 90)
    return torch.tensor(rng.normal(size=(90, 6)) + 1e5 + y[:, None] * np.eye(4, 6)[y]), torch.tensor(y)


def two_passes(features, labels):
    first = ClassMeans(4, 6)
    first.update(features, labels)
    means = first.compute()
    second = NeuralCollapse(means, weight=means - means.mean(0))
    second.update(features, labels, predictions=labels)
    return means, second.compute()


def work(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    features, labels = samples()
    mine = (
        slice(0, 25) if rank == 0 else slice(25, None)
    )  # unequal shares; rank 0 alone would know other means
    means, measures = two_passes(features[mine], labels[mine])
    torch.save({"means": means, **measures}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_measure_what_one_does(tmp_path):
    mp.set_forkserver_preload([__name__, "torch.distributed"])  # torch is imported once for both
    mp.start_processes(work, args=(str(tmp_path),), nprocs=2, start_method="forkserver")
    means, measures = two_passes(*samples())
    for rank in range(2):
        theirs = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(theirs.pop("means"), means, rtol=0, atol=1e-10)
        assert theirs.keys() == measures.keys()
        for name, value in measures.items():
            torch.testing.assert_close(theirs[name], value, rtol=0, atol=1e-10, msg=name)


def test_hugging_face_trainer_uses_one_forward_a_step(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=3,
    )
    model = transformers.BertForSequenceClassification(config)
    mask = torch.ones(16, 6, dtype=torch.long)
    mask[::2, 4:] = 0
    columns = {
        "input_ids": torch.randint(30, (16, 6)),
        "attention_mask": mask,
        "labels": torch.arange(16) % 3,
    }
    data = [{name: column[i] for name, column in columns.items()} for i in range(16)]
    loss = SVSLoss(0.1, ["bert.encoder.layer.0", "bert.encoder.layer.1", "classifier"], gamma=1)
    arguments = transformers.TrainingArguments(
        tmp_path,
        max_steps=3,
        per_device_train_batch_size=8,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        save_strategy="no",
    )
    trainer = loss_trainer(loss)(model=model, args=arguments, train_dataset=data)

    model.eval()
    value, outputs = trainer.compute_loss(model, columns, return_outputs=True)
    hidden = model.bert(columns["input_ids"], attention_mask=mask).last_hidden_state
    pooled = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)  # padding never counts
    spread = variability_loss(pooled, columns["labels"]) + variability_loss(outputs.logits, columns["labels"])
    torch.testing.assert_close(
        value, torch.nn.functional.cross_entropy(outputs.logits, columns["labels"]) + 0.05 * spread
    )

    forwards = []
    model.register_forward_hook(lambda *_: forwards.append(1))
    trainer.train()
    assert len(forwards) == 3


def test_lightning_module_trains_and_logs(tmp_path):
    lightning = pytest.importorskip("lightning")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(inplace=True), torch.nn.Linear(8, 3))
    y = torch.arange(48) % 3
    data = torch.utils.data.TensorDataset(torch.randn(48, 4) + 3 * torch.eye(3, 4)[y], y)
    loader = torch.utils.data.DataLoader(data, 16)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 25)
    loss = SVSLoss(0.01, ["0", "1", "2"], gamma=1)
    module = lightning_module(net, optimizer=optimizer, scheduler=schedule, loss=loss)
    quiet = dict(
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer = lightning.Trainer(max_epochs=30, accelerator="cpu", default_root_dir=tmp_path, **quiet)
    trainer.fit(module, loader, loader)
    assert (
        trainer.callback_metrics["test_accuracy"] > 0.8 and trainer.optimizers[0].param_groups[0]["lr"] < 0.02
    )
    assert {"train_loss", "test_loss"} <= set(trainer.callback_metrics)
    assert not any(m._forward_hooks for m in net.modules())
